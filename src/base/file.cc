#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace dspark {
namespace {

// Makes a finished rename durable: the directory entry is on disk as well.
void sync_directory(const std::filesystem::path& path) {
  const auto directory = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  if (const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); fd >= 0) {
    ::fsync(fd);
    ::close(fd);
  }
}

}  // namespace

Result<std::string> read_file(const std::filesystem::path& path, size_t max_bytes) {
  // Not blocking: a pipe in a model's folder must not hang its reader.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail("{}: cannot open: {}", path.string(), std::strerror(errno));
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return fail("{}: not a regular file", path.string());
  }
  std::string content;
  char buffer[65536];
  for (;;) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int code = errno;
      ::close(fd);
      return fail("{}: cannot read: {}", path.string(), std::strerror(code));
    }
    if (got == 0) break;
    if (content.size() + static_cast<size_t>(got) > max_bytes) {
      ::close(fd);
      return fail("{}: larger than the limit of {} bytes", path.string(), max_bytes);
    }
    content.append(buffer, static_cast<size_t>(got));
  }
  ::close(fd);
  return content;
}

AtomicFile::AtomicFile(int fd, std::filesystem::path path, std::filesystem::path temporary)
    : fd_(fd), path_(std::move(path)), temporary_(std::move(temporary)) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)) {}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path) {
  std::string name = path.string() + ".XXXXXX";
  const int fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) return fail("{}: cannot create: {}", path.string(), std::strerror(errno));
  const mode_t mask = ::umask(0);  // mkostemp makes 0600; a finished file is an ordinary one
  ::umask(mask);
  ::fchmod(fd, 0666 & ~mask);
  return AtomicFile(fd, path, name);
}

Status AtomicFile::write(const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t put = ::write(fd_, at, bytes);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return fail("{}: cannot write: {}", temporary_.string(), std::strerror(errno));
    at += put;
    bytes -= static_cast<size_t>(put);
  }
  return {};
}

Status AtomicFile::commit() {
  CHECK(fd_ >= 0, "commit twice");
  if (::fsync(fd_) != 0)
    return fail("{}: cannot flush: {}", temporary_.string(), std::strerror(errno));
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    return fail("{}: cannot rename to {}: {}", temporary_.string(), path_.string(),
                std::strerror(errno));
  ::close(std::exchange(fd_, -1));
  sync_directory(path_);
  return {};
}

Status append_to_file(const std::filesystem::path& path, std::string_view content) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const bool written = fd >= 0 && ::write(fd, content.data(), content.size()) ==
                                      static_cast<ssize_t>(content.size());
  const int fault = errno;
  if (fd >= 0) ::close(fd);
  if (!written) return fail("{}: cannot write: {}", path.string(), std::strerror(fault));
  return {};
}

std::optional<uint64_t> free_bytes(const std::filesystem::path& file) {
  std::error_code error;
  const auto space = std::filesystem::space(std::filesystem::absolute(file).parent_path(), error);
  return error ? std::nullopt : std::optional<uint64_t>(space.available);
}

Status write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  DSPARK_TRY(AtomicFile file, AtomicFile::create(path));
  DSPARK_RETURN_IF_ERROR(file.write(content.data(), content.size()));
  return file.commit();
}

}  // namespace dspark
