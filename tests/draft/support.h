// Drafters to test with: the fixtures', and small ones of any config with made-up weights.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "draft/draft.h"
#include "formats/scratch_folder.h"

namespace dspark::draft {

std::filesystem::path fixture(const std::string& name);  // tests/fixtures/NAME
DrafterFile opened(const std::filesystem::path& path);

// A DSpark drafter for a target of 5 layers, width 64 and 96 tokens: vanilla head of rank 32,
// confidence, everything f32.
DrafterConfig small_config();
DrafterConfig small_eagle3();  // 5 taps
DrafterConfig small_gemma4();

// Our own form of a config, with weights that depend on the tensor and the place alone.
struct Content {
  DType type = DType::kF32;
  bool embedding = true, head = true;
};
void write_own(const std::filesystem::path& path, const DrafterConfig& config, Content content);
inline void write_own(const std::filesystem::path& path, const DrafterConfig& config) {
  write_own(path, config, Content());
}

void expect_same_config(const DrafterConfig& a, const DrafterConfig& b);
std::string bytes_of(const std::filesystem::path& file);
std::vector<float> values_of(const TensorView& tensor);

// Writes with one thread; the report, or an error.
Result<WriteReport> converted(const std::filesystem::path& in, const std::filesystem::path& out,
                              const WriteOptions& options);
void expect_converted(const std::filesystem::path& in, const std::filesystem::path& out,
                      const WriteOptions& options = {});

// A GGUF file taken apart, to be changed at will and put together again.
struct GgufParts {
  struct Tensor {
    DType type;
    std::vector<int64_t> shape;
    std::string data;
  };
  std::map<std::string, formats::GgufValue, std::less<>> keys;
  std::map<std::string, Tensor> tensors;

  explicit GgufParts(const std::filesystem::path& file);
  void write(const std::filesystem::path& file) const;
};

// That opening fails with a message that begins with the path and holds `part`.
void expect_refused(const std::filesystem::path& path, const std::string& part);

}  // namespace dspark::draft
