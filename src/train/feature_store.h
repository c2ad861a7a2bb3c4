// Samples for training: what the target makes of each conversation, kept on disk once made.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "learn/learn.h"
#include "train/blocks.h"

namespace dspark::train {

struct FeatureOptions {
  std::filesystem::path file;  // empty: nothing is kept, every visit runs the target
  int bits = 16;               // of a cached value: 16 (bfloat16), or 8 with a scale a row and tap
  std::vector<int> taps;
  std::string key;  // names target and tokens: a file made with another is refused
};

// A cache file: a header line of JSON, then a record a conversation, each with its checksum.
// Records are appended as conversations come by; a torn last one is dropped at the next start.
// One run makes them; once all are there, several may use the file at the same time.
class FeatureStore {
 public:
  static Result<FeatureStore> open(FeatureOptions options, engine::Engine& engine, int64_t rows);
  FeatureStore(FeatureStore&&) noexcept;
  FeatureStore& operator=(FeatureStore&&) noexcept;
  ~FeatureStore();

  // Features in float32 of the row'th conversation of the corpus.
  Result<Sample> get(int64_t row, const learn::Example& example);

  int64_t cached() const;         // conversations in the file
  double target_seconds() const;  // spent in the target's forward passes
  static double bytes_a_token(int taps, int hidden, int bits);

 private:
  struct Impl;
  explicit FeatureStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// One conversation through the target.
Result<Sample> read_sample(engine::Engine& engine, const learn::Example& example,
                           const std::vector<int>& taps);

}  // namespace dspark::train
