#include "train/blocks.h"

#include <torch/torch.h>

#include <algorithm>
#include <random>

namespace dspark::train {
std::vector<int64_t> draft_rows(const draft::DrafterConfig& config) {
  std::vector<int64_t> rows(static_cast<size_t>(config.decoder.vocab), -1);
  for (int64_t r = 0; r < config.draft_vocab; ++r)
    rows[static_cast<size_t>(config.d2t.empty() ? r : config.d2t[static_cast<size_t>(r)])] = r;
  return rows;
}

std::vector<int64_t> valid_anchors(std::span<const uint8_t> loss_mask) {
  std::vector<int64_t> anchors;
  for (size_t a = 0; a + 1 < loss_mask.size(); ++a)
    if (loss_mask[a] != 0 && loss_mask[a + 1] != 0) anchors.push_back(static_cast<int64_t>(a));
  return anchors;
}

std::vector<int64_t> draw_anchors(const std::vector<int64_t>& valid, int64_t most, uint64_t seed,
                                  uint64_t index) {
  if (static_cast<int64_t>(valid.size()) <= most) return valid;
  std::seed_seq sequence{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32),
                         static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32)};
  std::mt19937_64 random(sequence);
  std::vector<int64_t> drawn = valid;
  for (int64_t i = 0; i < most; ++i) {  // Fisher and Yates, the first `most` places
    const auto left = static_cast<uint64_t>(drawn.size()) - static_cast<uint64_t>(i);
    std::swap(drawn[static_cast<size_t>(i)],
              drawn[static_cast<size_t>(i) + static_cast<size_t>(random() % left)]);
  }
  drawn.resize(static_cast<size_t>(most));
  std::sort(drawn.begin(), drawn.end());
  return drawn;
}

BlockMaker::BlockMaker(const draft::DrafterConfig& config)
    : config_(config), row_of_token_(draft_rows(config)) {}

BlockBatch BlockMaker::make(std::span<const Sample* const> samples,
                            std::span<const std::vector<int64_t>> anchors) const {
  BlockBatch batch;
  const int slots = config_.slots(), inputs = config_.block_size;
  std::vector<torch::Tensor> features, positions, hidden, log_sums;
  std::vector<int64_t> all_anchors, tokens, previous, labels, target_rows;
  std::vector<float> valid;
  int64_t context_rows = 0, blocks = 0, hidden_rows = 0;
  for (size_t s = 0; s < samples.size(); ++s) {
    const Sample& sample = *samples[s];
    if (anchors[s].empty()) continue;
    // Nothing sees a row from the last anchor on; no slot's target is behind the last block.
    const int64_t rows = anchors[s].back();
    const int64_t first = anchors[s].front();
    const int64_t end = std::min(sample.tokens(), anchors[s].back() + slots);
    batch.parts.push_back({context_rows, rows, blocks, static_cast<int64_t>(anchors[s].size())});
    features.push_back(sample.features.slice(0, 0, rows));
    positions.push_back(torch::arange(rows));
    hidden.push_back(sample.last_hidden.slice(0, first, end));
    if (sample.log_sum.defined()) log_sums.push_back(sample.log_sum.slice(0, first, end));
    for (const int64_t a : anchors[s]) {
      all_anchors.push_back(a);
      tokens.push_back(sample.ids[static_cast<size_t>(a)]);
      tokens.insert(tokens.end(), static_cast<size_t>(inputs - 1), config_.mask_token_id);
      bool supervised = true;
      for (int64_t j = 0; j < slots; ++j) {
        const int64_t label_at = a + 1 + j;
        supervised = supervised && label_at < sample.tokens() &&
                     sample.loss_mask[static_cast<size_t>(label_at)] != 0;
        valid.push_back(supervised ? 1.0f : 0.0f);
        const auto at = [&](int64_t i) { return static_cast<size_t>(i); };
        previous.push_back(supervised ? sample.ids[at(a + j)] : 0);
        labels.push_back(supervised ? row_of_token_[at(sample.ids[at(label_at)])] : -1);
        target_rows.push_back(supervised ? hidden_rows + a + j - first : hidden_rows);
      }
    }
    context_rows += rows;
    blocks += static_cast<int64_t>(anchors[s].size());
    hidden_rows += end - first;
  }
  const auto grid = [&](const std::vector<int64_t>& values, int width) {
    return torch::tensor(values, torch::kLong).view({blocks, width});
  };
  CHECK(blocks > 0, "a batch without anchors");
  batch.features = torch::cat(features);
  batch.context_positions = torch::cat(positions);
  batch.anchors = torch::tensor(all_anchors, torch::kLong);
  batch.tokens = grid(tokens, inputs);
  batch.previous = grid(previous, slots);
  batch.labels = grid(labels, slots);
  batch.target_rows = grid(target_rows, slots);
  batch.valid = torch::tensor(valid).view({blocks, slots});
  batch.target_hidden = torch::cat(hidden);
  if (!log_sums.empty()) batch.target_log_sum = torch::cat(log_sums);
  return batch;
}

}  // namespace dspark::train
