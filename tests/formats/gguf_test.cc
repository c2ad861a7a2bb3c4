// GGUF: what the writer writes, the reader reads; typed access; both versions.
#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <numeric>

#include "gguf_bytes.h"
#include "scratch_folder.h"

namespace dspark::formats {
namespace {

Result<GgufFile> parse(const std::string& bytes) {
  return GgufFile::parse(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), "test.gguf");
}

TEST(Gguf, WhatIsWrittenIsRead) {
  const ScratchFolder folder;
  const auto path = folder / "model.gguf";
  std::vector<float> matrix(6 * 4);
  std::iota(matrix.begin(), matrix.end(), 0.5f);
  std::vector<uint8_t> blocks(2 * 20, 7);
  std::vector<float> vector = {1, 2, 3};
  GgufWriter writer(path);
  writer.set("general.architecture", std::string("replaced"));
  writer.set("general.architecture", std::string("tiny"));
  writer.set("flag", true);
  writer.set("small", uint64_t{42});
  writer.set("large", uint64_t{1} << 40);
  writer.set("negative", int64_t{-7});
  writer.set("very.negative", -(int64_t{1} << 40));
  writer.set("eps", 1e-6);
  writer.set("huge", 1e300);
  writer.set("tokens", GgufArray{std::vector<std::string>{"a", "", "\xff\xfe", "\xe2\x82\xac"}});
  writer.set("types", GgufArray{std::vector<int64_t>{1, -1, 3}});
  writer.set("wide.types", GgufArray{std::vector<int64_t>{1, int64_t{1} << 50}});
  writer.set("counts", GgufArray{std::vector<uint64_t>{1, 2, 3}});
  writer.set("scores", GgufArray{std::vector<double>{0.5, -2}});
  writer.set("flags", GgufArray{std::vector<bool>{true, false, true}});
  writer.set("empty", GgufArray{std::vector<std::string>{}});
  writer.declare("matrix", DType::kF32, {6, 4});
  writer.declare("blocks", DType::kQ4_1, {2, 32});
  writer.declare("vector", DType::kF32, {3});
  ASSERT_TRUE(writer.begin().ok());
  EXPECT_FALSE(std::filesystem::exists(path));  // not before finish()
  ASSERT_TRUE(writer.write_tensor(matrix.data(), matrix.size() * 4).ok());
  ASSERT_TRUE(writer.write_part(blocks.data(), 25).ok());
  ASSERT_TRUE(writer.write_part(blocks.data() + 25, 15).ok());
  ASSERT_TRUE(writer.write_tensor(vector.data(), vector.size() * 4).ok());
  ASSERT_TRUE(writer.finish().ok());

  auto file = GgufFile::open(path);
  ASSERT_TRUE(file.ok()) << file.message();
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->name(), path.string());
  EXPECT_EQ(*file->string("general.architecture"), "tiny");
  EXPECT_EQ(*file->boolean("flag", false), true);
  EXPECT_EQ(*file->integer("small"), 42);
  EXPECT_EQ(*file->integer("large"), int64_t{1} << 40);
  EXPECT_EQ(*file->integer("negative"), -7);
  EXPECT_EQ(*file->integer("very.negative"), -(int64_t{1} << 40));
  EXPECT_EQ(*file->number("eps"), double{1e-6f});
  EXPECT_EQ(*file->number("huge"), 1e300);
  EXPECT_EQ(*file->number("small"), 42);
  const std::vector<std::string> tokens = {"a", "", "\xff\xfe", "\xe2\x82\xac"};
  EXPECT_EQ(**file->strings("tokens"), tokens);
  EXPECT_EQ(*file->integers("types"), (std::vector<int64_t>{1, -1, 3}));
  EXPECT_EQ(*file->integers("wide.types"), (std::vector<int64_t>{1, int64_t{1} << 50}));
  EXPECT_EQ(*file->integers("counts"), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(*file->numbers("counts"), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(*file->numbers("scores"), (std::vector<double>{0.5, -2}));
  EXPECT_TRUE((*file->strings("empty"))->empty());
  EXPECT_EQ(std::get<GgufArray>(file->metadata().find("flags")->second).size(), 3u);

  ASSERT_EQ(file->tensors().size(), 3u);
  const TensorView* found = file->find("matrix");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->shape, (std::vector<int64_t>{6, 4}));
  EXPECT_EQ(found->rows(), 6);
  EXPECT_EQ(found->columns(), 4);
  EXPECT_EQ(std::memcmp(found->data, matrix.data(), found->bytes), 0);
  EXPECT_EQ(file->find("blocks")->type, DType::kQ4_1);
  EXPECT_EQ(std::memcmp(file->find("blocks")->data, blocks.data(), blocks.size()), 0);
  file->release(*file->find("vector"));
  EXPECT_EQ(std::memcmp(file->find("vector")->data, vector.data(), 12), 0);
  EXPECT_EQ(file->find("absent"), nullptr);
}

TEST(Gguf, TypedAccessNamesFileKeyAndTypes) {
  GgufBytes bytes;
  bytes.header(0, 6).key_u32("count", 3).key_text("name", "x");
  bytes.text("big").u32(10).u64(~uint64_t{0});
  bytes.text("nan").u32(6).u32(0x7fc00000);
  bytes.text("bigs").u32(9).u32(10).u64(1).u64(~uint64_t{0});
  bytes.text("infs").u32(9).u32(6).u64(1).u32(0x7f800000);
  auto file = parse(bytes.str());
  ASSERT_TRUE(file.ok()) << file.message();
  EXPECT_EQ(*file->integer("absent", 5), 5);
  EXPECT_EQ(*file->number("absent", 0.5), 0.5);
  EXPECT_EQ(*file->boolean("absent", true), true);
  EXPECT_EQ(*file->string("absent", "y"), "y");
  EXPECT_EQ(file->integer("absent").message(), "test.gguf: key 'absent' is missing");
  EXPECT_EQ(file->integer("name").message(),
            "test.gguf: key 'name': expected an integer, found a string");
  EXPECT_EQ(file->integer("name", 1).message(), file->integer("name").message());
  EXPECT_EQ(file->string("count", "z").message(),
            "test.gguf: key 'count': expected a string, found an integer");
  EXPECT_EQ(file->boolean("count", true).message(),
            "test.gguf: key 'count': expected a boolean, found an integer");
  EXPECT_EQ(file->strings("bigs").message(),
            "test.gguf: key 'bigs': expected an array of strings, found an array of integers");
  EXPECT_EQ(file->integers("infs").message(),
            "test.gguf: key 'infs': expected an array of integers, found an array of floats");
  EXPECT_FALSE(file->integer("big").ok());
  EXPECT_FALSE(file->integers("bigs").ok());
  EXPECT_FALSE(file->number("nan").ok());
  EXPECT_FALSE(file->numbers("infs").ok());
  EXPECT_FALSE(file->numbers("name").ok());
}

TEST(Gguf, ReadsVersion2AndAnotherAlignment) {
  GgufBytes bytes;
  bytes.header(2, 1, 2).key_u32("general.alignment", 64);
  bytes.tensor("a", {3}, 0, 0).tensor("b", {2, 5}, 1, 64).data(64 + 20, 64);
  auto file = parse(bytes.str());
  ASSERT_TRUE(file.ok()) << file.message();
  EXPECT_EQ(file->version(), 2u);
  const TensorView* b = file->find("b");
  EXPECT_EQ(b->shape, (std::vector<int64_t>{5, 2}));
  EXPECT_EQ(b->data[0], 64);
  EXPECT_EQ(b->bytes, 20u);
}

TEST(Gguf, ReadsAFileWithoutTensorsOrPadding) {
  auto file = parse(GgufBytes().header(0, 1).key_u32("x", 1).str());
  ASSERT_TRUE(file.ok()) << file.message();
  EXPECT_TRUE(file->tensors().empty());
}

TEST(Gguf, ReadsALargeVocabularyFast) {
  constexpr int kTokens = 260'000;
  GgufBytes bytes;
  bytes.header(0, 1).text("tokenizer.ggml.tokens").u32(9).u32(8).u64(kTokens);
  for (int i = 0; i < kTokens; ++i) bytes.text("token" + std::to_string(i));
  const auto start = std::chrono::steady_clock::now();
  auto file = parse(bytes.str());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(file.ok()) << file.message();
  EXPECT_EQ((*file->strings("tokenizer.ggml.tokens"))->back(), "token259999");
  EXPECT_LT(seconds.count(), 2.0);  // about 10 ms; the limit allows for sanitizers
}

TEST(GgufWriter, RefusesWhatTheFormatCannotHold) {
  const ScratchFolder folder;
  struct Case {
    std::string name;
    DType type;
    std::vector<int64_t> shape;
    std::string expected;
  };
  const Case cases[] = {
      {"t", DType::kU8, {4}, "GGUF has no type u8"},
      {"t", DType::kF32, {1, 1, 1, 1, 1}, "at most 4 dimensions"},
      {"t", DType::kQ4_0, {2, 33}, "multiple of 32 for q4_0"},
      {"t", DType::kF32, {0, 4}, "not positive"},
      {"t", DType::kF32, {-1}, "not positive"},
      {"t", DType::kF32, {int64_t{1} << 40, int64_t{1} << 40}, "overflow"},
      {"t", DType::kF32, {int64_t{1} << 61, 1}, "too large"},
      {"", DType::kF32, {1}, "its name is empty"},
      {"\xff", DType::kF32, {1}, "not UTF-8"},
      {"first", DType::kF32, {1}, "declared twice"},
  };
  for (const Case& c : cases) {
    GgufWriter writer(folder / "x.gguf");
    writer.declare("first", DType::kF32, {1});
    writer.declare(c.name, c.type, c.shape);
    const Status status = writer.begin();
    ASSERT_FALSE(status.ok()) << c.expected;
    EXPECT_NE(status.message().find(c.expected), std::string::npos) << status.message();
    EXPECT_NE(status.message().find("x.gguf"), std::string::npos) << status.message();
  }
  GgufWriter writer(folder / "x.gguf");
  writer.set("", true);
  EXPECT_FALSE(writer.begin().ok());
  GgufWriter nowhere(folder / "absent/x.gguf");
  EXPECT_FALSE(nowhere.begin().ok());
  EXPECT_EQ(folder.entries(), 0u);
}

TEST(GgufWriter, LeavesNothingBehindWhenAbandoned) {
  const ScratchFolder folder;
  {
    GgufWriter writer(folder / "x.gguf");
    writer.declare("t", DType::kF32, {4});
    ASSERT_TRUE(writer.begin().ok());
    ASSERT_TRUE(writer.write_part("12345678", 8).ok());
  }
  EXPECT_EQ(folder.entries(), 0u);
}

}  // namespace
}  // namespace dspark::formats
