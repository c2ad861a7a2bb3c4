// How DeepSpec's target cache lies on disk (spec D.2). Private to the room learn.
#pragma once

#include <cstdint>

namespace dspark::learn {

inline constexpr int kTargetCacheVersion = 2;
inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr const char* kIndexFile = "samples.idx";

// A record of samples.idx, little-endian; offsets are bytes of the shard.
struct IndexRecord {
  uint64_t sample_id = 0;
  uint32_t shard_id = 0, tokens = 0;
  uint64_t ids = 0, attention_mask = 0, loss_mask = 0, hidden = 0, last_hidden = 0;
};
static_assert(sizeof(IndexRecord) == 56);

// Bytes of a sample's parts, which follow one another.
struct SampleLayout {
  SampleLayout(uint64_t tokens, uint64_t feature_width, uint64_t hidden_size)
      : ids(4 * tokens),
        mask(tokens),
        hidden(2 * tokens * feature_width),
        last_hidden(2 * tokens * hidden_size) {}
  uint64_t ids, mask, hidden, last_hidden;
  uint64_t total() const { return ids + 2 * mask + hidden + last_hidden; }
};

}  // namespace dspark::learn
