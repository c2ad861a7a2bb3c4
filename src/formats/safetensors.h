// Safetensors: one file or a sharded set with its index, by memory map; and a writer.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "tensor/tensor.h"

namespace dspark::formats {

class Safetensors {
 public:
  // A .safetensors file.
  static Result<Safetensors> open(const std::filesystem::path& file);
  // A directory with model.safetensors, or model.safetensors.index.json and its shards.
  static Result<Safetensors> open_directory(const std::filesystem::path& directory);
  static Result<Safetensors> parse(const uint8_t* data, size_t size, const std::string& name);

  const std::string& name() const { return name_; }
  const std::vector<TensorView>& tensors() const { return tensors_; }  // sorted by name
  const TensorView* find(std::string_view tensor_name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  void release(const TensorView& tensor) const;

 private:
  Safetensors() = default;
  // Appends the tensors of one file, in the order of its header.
  Status add_shard(const uint8_t* data, size_t size, const std::string& name);
  Status sort_by_name();  // and refuses a name that two shards hold
  std::string name_;
  std::vector<TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
  std::vector<MappedFile> maps_;
};

// Writes views (plain types only) as one .safetensors file, atomically.
Status write_safetensors(const std::filesystem::path& file, const std::vector<TensorView>& tensors,
                         const std::map<std::string, std::string>& metadata);

}  // namespace dspark::formats
