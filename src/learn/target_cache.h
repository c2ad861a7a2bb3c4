// DeepSpec's cache of target features, version 2 (spec D.2): a directory with manifest.json,
// samples.idx and shards. Read by memory map; written so that it is there whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/base.h"

namespace dspark::learn {

// Of the manifest: what the features are of.
struct TargetCacheInfo {
  std::vector<int> target_layer_ids;  // ascending; -1: the embedding output
  int hidden_size = 0;
  std::string target_name;  // "target_model_name_or_path"
  std::string chat_template = "qwen";
  std::vector<std::string> sources;  // "source_jsonl_paths"
  int max_length = 4096, min_loss_tokens = 14;
  std::string project_name = "dspark", exp_name = "dspark", git_sha = "unknown";

  int64_t feature_width() const {
    return static_cast<int64_t>(target_layer_ids.size()) * hidden_size;
  }
};

// Views into a cache, unaligned; or what is to be written.
struct CachedSample {
  int64_t tokens = 0;
  const uint8_t* ids = nullptr;             // int32 [tokens]
  const uint8_t* attention_mask = nullptr;  // [tokens]
  const uint8_t* loss_mask = nullptr;       // [tokens]
  const uint8_t* hidden = nullptr;          // bfloat16 [tokens, taps * hidden]
  const uint8_t* last_hidden = nullptr;     // bfloat16 [tokens, hidden]: the final norm's output
};

class TargetCache {
 public:
  // Everything is checked: an error names the file and what was expected.
  static Result<TargetCache> open(const std::filesystem::path& directory);
  TargetCache(TargetCache&&) noexcept;
  ~TargetCache();

  const TargetCacheInfo& info() const;
  int64_t samples() const;
  CachedSample sample(int64_t i) const;

 private:
  struct Impl;
  explicit TargetCache(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class TargetCacheWriter {
 public:
  static constexpr uint64_t kShardBytes = uint64_t{64} << 30;

  // Beside `directory`, which must not be there, under a temporary name until finish().
  static Result<TargetCacheWriter> create(const std::filesystem::path& directory,
                                          TargetCacheInfo info, uint64_t shard_bytes = kShardBytes);
  TargetCacheWriter(TargetCacheWriter&&) noexcept;
  ~TargetCacheWriter();  // removes what was not finished

  Status add(const CachedSample& sample);
  Status finish();

 private:
  struct Impl;
  explicit TargetCacheWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dspark::learn
