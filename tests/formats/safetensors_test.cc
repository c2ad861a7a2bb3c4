// Safetensors: round trips, directories with one file or shards.
#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "safetensors_bytes.h"
#include "scratch_folder.h"

namespace dspark::formats {
namespace {

template <class T>
TensorView view(const std::string& name, DType type, std::vector<int64_t> shape,
                const std::vector<T>& values) {
  return {name, type, std::move(shape), reinterpret_cast<const uint8_t*>(values.data()),
          values.size() * sizeof(T)};
}

TEST(Safetensors, WhatIsWrittenIsRead) {
  const ScratchFolder folder;
  const auto path = folder / "x.safetensors";
  std::vector<float> floats(12);
  std::iota(floats.begin(), floats.end(), -3.5f);
  const std::vector<uint16_t> halves = {1, 2, 3};
  const std::vector<int64_t> longs = {-1, int64_t{1} << 60};
  const std::vector<uint8_t> bytes = {0, 1, 1, 0, 1};
  const std::vector<int32_t> none;
  const std::vector<int8_t> scalar = {7};
  const std::vector<TensorView> tensors = {
      view("b.bool", DType::kBool, {5}, bytes),        view("u8", DType::kU8, {5}, bytes),
      view("w.f32", DType::kF32, {3, 4}, floats),      view("h.f16", DType::kF16, {3, 1}, halves),
      view("h.bf16", DType::kBF16, {3}, halves),       view("i64", DType::kI64, {2}, longs),
      view("empty", DType::kI32, {0, 7}, none),        view("scalar", DType::kI8, {}, scalar),
      view("i16 \"quoted\"", DType::kI16, {3}, halves)};
  const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"note", "a \"b\"\n"}};
  const Status status = write_safetensors(path, tensors, metadata);
  ASSERT_TRUE(status.ok()) << status.message();

  auto file = Safetensors::open(path);
  ASSERT_TRUE(file.ok()) << file.message();
  EXPECT_EQ(file->metadata(), metadata);
  ASSERT_EQ(file->tensors().size(), tensors.size());
  for (const TensorView& tensor : tensors) {
    const TensorView* found = file->find(tensor.name);
    ASSERT_NE(found, nullptr) << tensor.name;
    EXPECT_EQ(found->type, tensor.type);
    EXPECT_EQ(found->shape, tensor.shape);
    ASSERT_EQ(found->bytes, tensor.bytes);
    if (tensor.bytes > 0) {
      EXPECT_EQ(std::memcmp(found->data, tensor.data, tensor.bytes), 0) << tensor.name;
    }
    file->release(*found);
  }
  EXPECT_TRUE(std::is_sorted(file->tensors().begin(), file->tensors().end(),
                             [](const auto& a, const auto& b) { return a.name < b.name; }));
  EXPECT_EQ(file->find("absent"), nullptr);
  EXPECT_EQ(folder.entries(), 1u);
}

TEST(Safetensors, WriterRefusesWhatTheFormatCannotHold) {
  const ScratchFolder folder;
  const std::vector<uint8_t> block(18);
  const std::vector<float> one(1);
  const TensorView good = view("t", DType::kF32, {1}, one);
  const auto message = [&](const std::vector<TensorView>& tensors,
                           const std::map<std::string, std::string>& metadata) {
    const Status status = write_safetensors(folder / "x.safetensors", tensors, metadata);
    return status.ok() ? std::string("no error") : status.message();
  };
  EXPECT_NE(message({view("q", DType::kQ4_0, {32}, block)}, {}).find("no type q4_0"),
            std::string::npos);
  EXPECT_NE(message({good, good}, {}).find("tensor 't': given twice"), std::string::npos);
  EXPECT_NE(message({view("\xff", DType::kF32, {1}, one)}, {}).find("in UTF-8"), std::string::npos);
  EXPECT_NE(message({view("__metadata__", DType::kF32, {1}, one)}, {}).find("another name"),
            std::string::npos);
  EXPECT_NE(message({good}, {{"k", "\xff"}}).find("not UTF-8"), std::string::npos);
  EXPECT_EQ(folder.entries(), 0u);
}

class ShardedModel : public testing::Test {
 protected:
  void write_index(const std::string& weight_map) const {
    folder_.write("model.safetensors.index.json",
                  R"({"metadata": {"total_size": 8}, "weight_map": )" + weight_map + "}");
  }
  std::string error() const {
    auto result = Safetensors::open_directory(folder_.path());
    return result.ok() ? "no error" : result.message();
  }
  void expect_error(const std::string& expected) const {
    EXPECT_NE(error().find(expected), std::string::npos) << error();
    EXPECT_NE(error().find(folder_.path().string()), std::string::npos) << error();
  }
  // A file with one F32 tensor for each name.
  static std::string shard(const std::vector<std::string>& names) {
    std::string header = "{", data;
    for (const std::string& name : names) {
      header += fmt::format(R"({}"{}":{{"dtype":"F32","shape":[1],"data_offsets":[{},{}]}})",
                            data.empty() ? "" : ",", name, data.size(), data.size() + 4);
      data += std::string("\0\0\x80\x3f", 4);
    }
    return safetensors_bytes(header + "}", data);
  }
  ScratchFolder folder_;
};

TEST_F(ShardedModel, IsReadAsOne) {
  folder_.write("m-1.safetensors", shard({"b", "d"}));
  folder_.write("m-2.safetensors", shard({"a", "c"}));
  write_index(R"({"a":"m-2.safetensors","b":"m-1.safetensors","c":"m-2.safetensors",)"
              R"("d":"m-1.safetensors"})");
  auto model = Safetensors::open_directory(folder_.path());
  ASSERT_TRUE(model.ok()) << model.message();
  ASSERT_EQ(model->tensors().size(), 4u);
  for (const char* name : {"a", "b", "c", "d"}) {
    const TensorView* tensor = model->find(name);
    ASSERT_NE(tensor, nullptr) << name;
    float value = 0;
    std::memcpy(&value, tensor->data, 4);
    EXPECT_EQ(value, 1.0f);
    model->release(*tensor);
  }
}

TEST_F(ShardedModel, ASingleFileNeedsNoIndex) {
  folder_.write("model.safetensors", shard({"a"}));
  auto model = Safetensors::open_directory(folder_.path());
  ASSERT_TRUE(model.ok()) << model.message();
  EXPECT_EQ(model->tensors().size(), 1u);
}

TEST_F(ShardedModel, AShardMayBeALink) {  // download caches keep the content elsewhere
  const ScratchFolder elsewhere;
  elsewhere.write("blob", shard({"a"}));
  std::filesystem::create_symlink(elsewhere / "blob", folder_ / "m.safetensors");
  write_index(R"({"a":"m.safetensors"})");
  EXPECT_EQ(error(), "no error");
}

TEST_F(ShardedModel, LiesAreNamed) {
  expect_error("neither model.safetensors nor model.safetensors.index.json");
  folder_.write("m.safetensors", shard({"a", "b"}));
  folder_.write("n.safetensors", shard({"b", "c"}));
  write_index(R"({"a":"m.safetensors","c":"n.safetensors"})");
  expect_error("tensor 'b' appears twice");
  write_index(R"({"a":"n.safetensors"})");
  expect_error("n.safetensors: tensor 'a' is missing, which model.safetensors.index.json");
  write_index(R"({"a":"absent.safetensors"})");
  expect_error("absent.safetensors");
  for (const char* outside : {"../m.safetensors", "/etc/passwd", "..", ".", "", "a\\\\b",
                              "m.safetensors\\u0000x", "sub/m.safetensors"}) {
    write_index(std::string(R"({"a":")") + outside + "\"}");
    expect_error("is not the name of a file beside the index");
  }
  write_index(R"({"a":"m.safetensors","a":"m.safetensors"})");
  expect_error("weight_map: tensor 'a' appears twice");
  write_index(R"({"a":3})");
  expect_error("tensor 'a': expected a file name");
  write_index("{}");
  expect_error("weight_map is empty");
  write_index("[]");
  expect_error("key weight_map: expected an object");
  write_index("{");
  expect_error("not valid JSON");
  folder_.write("model.safetensors.index.json", "[1]");
  expect_error("key weight_map: expected an object");
  folder_.write("model.safetensors.index.json", "");
  expect_error("not valid JSON");
  folder_.write("model.safetensors.index.json", std::string(100'000, '['));
  expect_error("not valid JSON");
}

TEST_F(ShardedModel, CyclesAndFoldersAreErrors) {
  std::filesystem::create_symlink("m.safetensors", folder_ / "m.safetensors");
  write_index(R"({"a":"m.safetensors"})");
  expect_error("m.safetensors");
  std::filesystem::create_directory(folder_ / "folder");
  write_index(R"({"a":"folder"})");
  expect_error("not a regular file");
  write_index(R"({"a":"model.safetensors.index.json"})");
  expect_error("model.safetensors.index.json: header of");
}

}  // namespace
}  // namespace dspark::formats
