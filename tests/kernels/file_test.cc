// Files: written whole or not at all, read within a limit, mapped.
#include "base/base.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace dspark {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "base_test.XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path path(const char* name) const { return folder_ / name; }
  void put(const char* name, const std::string& content) const {
    std::ofstream(path(name), std::ios::binary) << content;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_))
      found.push_back(entry.path().filename().string());
    return found;
  }
  fs::path folder_;
};

TEST_F(Files, AtomicFileAppearsOnCommitAlone) {
  put("f", "old");
  {
    AtomicFile file = AtomicFile::create(path("f")).take();
    ASSERT_TRUE(file.write("ne", 2).ok());
    EXPECT_EQ(read_file(path("f"), 100).take(), "old");
    AtomicFile moved = std::move(file);
    ASSERT_TRUE(moved.write("w", 1).ok());
    EXPECT_EQ(read_file(path("f"), 100).take(), "old");
    ASSERT_TRUE(moved.commit().ok());
  }
  EXPECT_EQ(read_file(path("f"), 100).take(), "new");
  EXPECT_EQ(names(), std::vector<std::string>{"f"});
}

TEST_F(Files, AtomicFileWithoutCommitLeavesNothing) {
  {
    AtomicFile file = AtomicFile::create(path("f")).take();
    ASSERT_TRUE(file.write("abc", 3).ok());
    EXPECT_EQ(names().size(), 1u);
  }
  EXPECT_TRUE(names().empty());
}

TEST_F(Files, AtomicFileHonoursTheUmask) {
  const mode_t saved = ::umask(027);
  ASSERT_TRUE(write_file_atomically(path("f"), "x").ok());
  ::umask(saved);
  struct stat info {};
  ASSERT_EQ(::stat(path("f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

TEST_F(Files, AtomicFileErrors) {
  EXPECT_NE(AtomicFile::create(path("none/f")).message().find("none/f"), std::string::npos);
  // Onto a folder: the rename fails, and nothing is left.
  fs::create_directory(path("folder"));
  put("folder/inside", "");
  EXPECT_NE(write_file_atomically(path("folder"), "x").message().find("cannot rename"),
            std::string::npos);
  EXPECT_EQ(names(), std::vector<std::string>{"folder"});
}

TEST_F(Files, AtomicFileOnAFullDisk) {
  // A limit on the size of files stands in for the disk, in a process of its own.
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const Status status = write_file_atomically(path("f"), std::string(5000, 'x'));
    _exit(!status.ok() && status.message().find("cannot write") != std::string::npos ? 0 : 1);
  }
  int result = 0;
  ASSERT_EQ(waitpid(child, &result, 0), child);
  EXPECT_EQ(result, 0);
  EXPECT_TRUE(names().empty());
}

TEST_F(Files, ReadFile) {
  std::string content(200000, '\0');
  std::mt19937 random(1);
  for (char& c : content) c = static_cast<char>(random());
  put("f", content);
  EXPECT_EQ(read_file(path("f"), content.size()).take(), content);
  EXPECT_NE(read_file(path("f"), content.size() - 1).message().find("limit of 199999"),
            std::string::npos);
  EXPECT_NE(read_file(path("none"), 1).message().find("none: cannot open"), std::string::npos);
  EXPECT_NE(read_file(folder_, 1).message().find("not a regular file"), std::string::npos);
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);  // must not wait for a writer
  EXPECT_NE(read_file(path("pipe"), 1).message().find("not a regular file"), std::string::npos);
  put("empty", "");
  EXPECT_EQ(read_file(path("empty"), 0).take(), "");
}

TEST_F(Files, MappedFile) {
  std::string content(3 * 4096 + 17, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7);
  put("f", content);
  MappedFile file = MappedFile::open(path("f")).take();
  ASSERT_EQ(file.size(), content.size());
  EXPECT_EQ(file.path(), path("f"));
  EXPECT_EQ(std::memcmp(file.data(), content.data(), content.size()), 0);
  // Released pages, whole or in part, read the same again.
  file.release(0, content.size());
  file.release(5000, 10);
  file.release(4096, 0);
  file.release(8000, content.size() - 8000);
  EXPECT_EQ(std::memcmp(file.data(), content.data(), content.size()), 0);
  MappedFile moved = std::move(file);
  put("g", "other");
  MappedFile assigned = MappedFile::open(path("g")).take();
  assigned = std::move(moved);
  ASSERT_EQ(assigned.size(), content.size());
  EXPECT_EQ(std::memcmp(assigned.data(), content.data(), content.size()), 0);
}

TEST_F(Files, MappedFileOfOddThings) {
  EXPECT_NE(MappedFile::open(path("none")).message().find("none"), std::string::npos);
  EXPECT_FALSE(MappedFile::open(folder_).ok());
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_FALSE(MappedFile::open(path("pipe")).ok());
  put("empty", "");
  EXPECT_EQ(MappedFile::open(path("empty")).take().size(), 0u);
}

}  // namespace
}  // namespace dspark
