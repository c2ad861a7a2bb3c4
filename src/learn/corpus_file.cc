#include "learn/corpus_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "learn/json_line.h"
#include "learn/line_reader.h"

namespace dspark::learn {
namespace {

constexpr size_t kCopyBytes = size_t{1} << 20;

Status write_all(int fd, std::string_view bytes, const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail("{}: cannot write: {}", name, std::strerror(errno));
    bytes.remove_prefix(static_cast<size_t>(put));
  }
  return {};
}

Status read_at(int fd, uint64_t offset, std::string& bytes, const std::string& name) {
  for (size_t got = 0; got < bytes.size();) {
    const ssize_t read =
        ::pread(fd, bytes.data() + got, bytes.size() - got, static_cast<off_t>(offset + got));
    if (read < 0 && errno == EINTR) continue;
    if (read <= 0)
      return fail("{}: cannot read: {}", name,
                  read < 0 ? std::strerror(errno) : "it became shorter");
    got += static_cast<size_t>(read);
  }
  return {};
}

void sync_directory(const std::filesystem::path& file) {
  const auto directory = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  if (const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); fd >= 0) {
    ::fsync(fd);
    ::close(fd);
  }
}

}  // namespace

CorpusFile::CorpusFile(int fd, std::filesystem::path path, size_t rows)
    : fd_(fd), path_(std::move(path)), rows_(rows) {}

CorpusFile::CorpusFile(CorpusFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      rows_(std::move(other.rows_)),
      rows_done_(other.rows_done_),
      last_row_(other.last_row_),
      end_(other.end_),
      in_order_(other.in_order_) {}

CorpusFile::~CorpusFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<CorpusFile> CorpusFile::open(const std::filesystem::path& path,
                                    const std::vector<std::string>& ids) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return fail("{}: cannot open: {}", path.string(), std::strerror(errno));
  CorpusFile file(fd, path, ids.size());
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0)
    return fail("{}: another process is writing it", path.string());
  std::unordered_map<std::string_view, size_t> row_of;
  for (size_t row = 0; row < ids.size(); ++row) row_of.emplace(ids[row], row);
  DSPARK_RETURN_IF_ERROR(file.read(row_of));
  return file;
}

Status CorpusFile::read(const std::unordered_map<std::string_view, size_t>& row_of) {
  DSPARK_TRY(LineReader lines, LineReader::open(path_));
  JsonLine json;
  std::string fault;  // of the line before: only the last may be torn
  for (;;) {
    DSPARK_TRY(const bool more, lines.next());
    if (!more) break;
    if (!fault.empty()) return fail("{}", fault);
    const std::string place = lines.place();
    if (!lines.whole()) {
      fault = fmt::format("{}: expected a whole row", place);
      continue;
    }
    auto row = json.object(lines.text(), place);
    if (!row) {
      fault = row.message();
      continue;
    }
    DSPARK_TRY(const std::string id, id_of(*row, lines.number(), place));
    const auto found = row_of.find(id);
    if (found == row_of.end())
      return fail("{}: expected an id of the chosen prompts, found '{:.80}'", place, id);
    if (done(found->second)) return fail("{}: the id '{:.80}' comes a second time", place, id);
    take(found->second, lines.offset(), lines.end() - lines.offset());
    end_ = lines.end();
  }
  if (::ftruncate(fd_, static_cast<off_t>(end_)) != 0 ||
      ::lseek(fd_, static_cast<off_t>(end_), SEEK_SET) < 0)
    return fail("{}: cannot cut a torn line off: {}", path_.string(), std::strerror(errno));
  return {};
}

void CorpusFile::take(size_t row, uint64_t offset, uint64_t bytes) {
  rows_[row] = {offset, bytes};
  in_order_ &= rows_done_ == 0 || row > last_row_;
  last_row_ = row;
  ++rows_done_;
}

Status CorpusFile::append(size_t row, std::string_view line) {
  CHECK(!done(row) && !line.empty());
  std::string bytes(line);
  bytes += '\n';
  DSPARK_RETURN_IF_ERROR(write_all(fd_, bytes, path_.string()));
  take(row, end_, bytes.size());
  end_ += bytes.size();
  return {};
}

Status CorpusFile::sync() {
  if (::fsync(fd_) != 0) return fail("{}: cannot flush: {}", path_.string(), std::strerror(errno));
  return {};
}

Status CorpusFile::sort() {
  DSPARK_RETURN_IF_ERROR(sync());
  if (in_order_) return {};
  // One name, so that what a killed process left of it is used again.
  const std::filesystem::path sorted = path_.string() + ".tmp";
  const int fd = ::open(sorted.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return fail("{}: cannot create: {}", sorted.string(), std::strerror(errno));
  const auto copy = [&]() -> Status {
    std::string bytes, line;
    for (const Place& place : rows_) {
      if (place.bytes == 0) continue;
      line.resize(place.bytes);
      DSPARK_RETURN_IF_ERROR(read_at(fd_, place.offset, line, path_.string()));
      bytes += line;
      if (bytes.size() < kCopyBytes) continue;
      DSPARK_RETURN_IF_ERROR(write_all(fd, bytes, sorted.string()));
      bytes.clear();
    }
    DSPARK_RETURN_IF_ERROR(write_all(fd, bytes, sorted.string()));
    if (::fsync(fd) != 0)
      return fail("{}: cannot flush: {}", sorted.string(), std::strerror(errno));
    return {};
  };
  Status copied = copy();
  ::close(fd);
  if (copied && ::rename(sorted.c_str(), path_.c_str()) != 0)
    copied =
        fail("{}: cannot rename to {}: {}", sorted.string(), path_.string(), std::strerror(errno));
  if (!copied) {
    ::unlink(sorted.c_str());
    return copied;
  }
  sync_directory(path_);
  in_order_ = true;
  return {};
}

}  // namespace dspark::learn
