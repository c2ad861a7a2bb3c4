// GGUF v2 and v3, by memory map. Everything in the file is checked before it is used: counts
// against the file's size, offsets and sizes against overflow and the data section, names against
// duplicates.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/base.h"
#include "tensor/tensor.h"

namespace dspark::formats {

// A metadata value. Integers of all widths widen to int64 or uint64, floats to double.
struct GgufArray;
using GgufValue = std::variant<bool, int64_t, uint64_t, double, std::string, GgufArray>;
// Arrays are kept by element kind; nested arrays are refused.
struct GgufArray {
  std::variant<std::vector<bool>, std::vector<int64_t>, std::vector<uint64_t>, std::vector<double>,
               std::vector<std::string>>
      items;
  size_t size() const {
    return std::visit([](const auto& v) { return v.size(); }, items);
  }
};

class GgufFile {
 public:
  static Result<GgufFile> open(const std::filesystem::path& path);
  // Parses bytes that stay alive as long as the result; name is used in messages. For tests and
  // fuzzing.
  static Result<GgufFile> parse(const uint8_t* data, size_t size, const std::string& name);

  const std::string& name() const { return name_; }  // the file's path, for messages
  uint32_t version() const { return version_; }
  const std::map<std::string, GgufValue, std::less<>>& metadata() const { return metadata_; }
  const std::vector<TensorView>& tensors() const { return tensors_; }  // in file order
  const TensorView* find(std::string_view tensor_name) const;          // nullptr when absent

  // Typed access: an error names the file, the key, the wanted and the found type. The forms with a
  // fallback give it when the key is absent (a wrong type is still an error).
  bool has(std::string_view key) const { return metadata_.find(key) != metadata_.end(); }
  Result<int64_t> integer(std::string_view key) const;
  Result<int64_t> integer(std::string_view key, int64_t fallback) const;
  Result<double> number(std::string_view key) const;  // float or integer
  Result<double> number(std::string_view key, double fallback) const;
  Result<bool> boolean(std::string_view key, bool fallback) const;
  Result<std::string> string(std::string_view key) const;
  Result<std::string> string(std::string_view key, std::string fallback) const;
  Result<const std::vector<std::string>*> strings(std::string_view key) const;
  Result<std::vector<bool>> booleans(std::string_view key) const;
  Result<std::vector<int64_t>> integers(std::string_view key) const;  // any integer array
  Result<std::vector<double>> numbers(std::string_view key) const;    // any numeric array

  // Gives the memory of a tensor that has been read back to the system.
  void release(const TensorView& tensor) const;

 private:
  GgufFile() = default;
  friend class GgufParser;  // gguf.cc
  std::string name_;
  uint32_t version_ = 0;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  std::vector<TensorView> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
  std::vector<MappedFile> map_;  // empty or one
};

// Writes GGUF v3 (alignment 32). Tensors are added by declaration first, then their bytes in the
// same order; the file appears under its name only when finish() succeeds. Integers take 32 bits in
// the file where the value (in an array, every value) fits, floats are f32: the widths that readers
// expect.
class GgufWriter {
 public:
  explicit GgufWriter(std::filesystem::path path) : path_(std::move(path)) {}
  void set(const std::string& key, GgufValue value);
  void declare(const std::string& name, DType type, std::vector<int64_t> shape);  // row-major shape
  // Opens the file and writes header, metadata and tensor table.
  Status begin();
  Status write_tensor(const void* data,
                      size_t bytes);  // exactly the declared bytes of the next tensor
  Status write_part(const void* data, size_t bytes);  // or less: parts add up to the tensor
  Status finish();

 private:
  std::filesystem::path path_;
  std::vector<std::pair<std::string, GgufValue>> metadata_;
  struct Declared {
    std::string name;
    DType type;
    std::vector<int64_t> shape;
  };
  std::vector<Declared> tensors_;
  std::vector<size_t> bytes_;     // of each tensor, from begin() on
  size_t next_ = 0;               // the tensor being written
  size_t written_ = 0;            // bytes of it so far
  std::vector<AtomicFile> file_;  // empty or one
};

}  // namespace dspark::formats
