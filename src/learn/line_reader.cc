#include "learn/line_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace dspark::learn {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

}  // namespace

LineReader::LineReader(int fd, std::string name)
    : fd_(fd), name_(std::move(name)), buffer_(kBufferBytes) {}

LineReader::LineReader(LineReader&& other) noexcept : fd_(-1) { *this = std::move(other); }

LineReader& LineReader::operator=(LineReader&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(name_, other.name_);
  std::swap(buffer_, other.buffer_);  // text_ points into it still
  begin_ = other.begin_, filled_ = other.filled_;
  text_ = other.text_;
  number_ = other.number_, offset_ = other.offset_, next_offset_ = other.next_offset_;
  whole_ = other.whole_, too_long_ = other.too_long_;
  return *this;
}

LineReader::~LineReader() {
  if (fd_ >= 0) ::close(fd_);
}

Result<LineReader> LineReader::open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail("{}: cannot open: {}", path.string(), std::strerror(errno));
  LineReader reader(fd, path.string());
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
    return fail("{}: not a regular file", path.string());
  return reader;
}

Result<bool> LineReader::fill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, filled_ - begin_);
    filled_ -= begin_;
    begin_ = 0;
  }
  if (filled_ == buffer_.size()) buffer_.resize(buffer_.size() * 2);
  for (;;) {
    const ssize_t got = ::read(fd_, buffer_.data() + filled_, buffer_.size() - filled_);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail("{}: cannot read: {}", name_, std::strerror(errno));
    filled_ += static_cast<size_t>(got);
    return got > 0;
  }
}

Result<bool> LineReader::next() {
  offset_ = next_offset_;
  text_ = {};
  whole_ = too_long_ = false;
  size_t searched = 0;
  for (;;) {
    const char* from = buffer_.data() + begin_ + searched;
    const auto* found =
        static_cast<const char*>(std::memchr(from, '\n', filled_ - begin_ - searched));
    if (found || (filled_ - begin_ > kMaxRowBytes)) {
      const auto length =
          found ? static_cast<size_t>(found - buffer_.data()) - begin_ : filled_ - begin_;
      too_long_ |= length > kMaxRowBytes;
      whole_ = found != nullptr;
      if (whole_ && !too_long_) text_ = {buffer_.data() + begin_, length};
      begin_ += length + (whole_ ? 1 : 0);
      next_offset_ += length + (whole_ ? 1 : 0);
      searched = 0;
      if (whole_) break;
      continue;  // the rest of a line that is too long is passed over
    }
    searched = filled_ - begin_;
    DSPARK_TRY(const bool more, fill());
    if (more) continue;
    if (searched == 0 && !too_long_) return false;
    if (!too_long_) text_ = {buffer_.data() + begin_, searched};
    begin_ += searched;
    next_offset_ += searched;
    break;
  }
  ++number_;
  return true;
}

std::string LineReader::place() const { return fmt::format("{}:{}", name_, number_); }

}  // namespace dspark::learn
