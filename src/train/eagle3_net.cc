#include "train/eagle3_net.h"

#include <torch/torch.h>

#include <cmath>

namespace dspark::train {
namespace {

// [tokens, heads, d] -> [kv, group, tokens, d]
torch::Tensor by_head(const torch::Tensor& x, int64_t kv) {
  return x.view({x.size(0), kv, x.size(1) / kv, x.size(2)}).permute({1, 2, 0, 3});
}

}  // namespace

Eagle3Net::Eagle3Net(const draft::DrafterConfig& config, const Parameters& parameters,
                     const FrozenTables& tables, Precision precision)
    : config_(config),
      parameters_(parameters),
      tables_(tables),
      decoder_(config.decoder, parameters, precision) {}

std::vector<ChainStep> Eagle3Net::forward(const Sample& sample) const {
  CHECK(decoder_.spec().layers == 1, "Eagle3 has one layer");
  const model::AttentionKind& kind = decoder_.kind();
  const int64_t n = sample.tokens(), kv = kind.kv_heads;
  const torch::Tensor ids = torch::tensor(sample.ids, torch::kInt32).to(torch::kLong);
  const torch::Tensor causal = torch::ones({n, n}, torch::kBool).triu(1);
  torch::Tensor residual = decoder_.linear(sample.features, "fc");
  torch::Tensor first_keys, first_values;           // [kv, 1, tokens, d], of step 0
  std::vector<torch::Tensor> own_keys, own_values;  // the same row's, of the steps since
  std::vector<ChainStep> steps;
  for (int64_t s = 0; s < config_.ttt_length; ++s) {
    // Row i reads the token at i + 1 + s; behind the end, token 0 as the reference's shifts do.
    const torch::Tensor tokens = torch::cat(
        {ids.slice(0, std::min(n, s + 1)), torch::zeros({std::min(n, s + 1)}, torch::kLong)});
    const torch::Tensor embedded = tables_.embedding.index_select(0, tokens);
    const torch::Tensor input = torch::cat({decoder_.norm(embedded, "layers.0.input_layernorm"),
                                            decoder_.norm(residual, "layers.0.hidden_norm")},
                                           -1);
    const Rotation rotation = decoder_.rotation(torch::arange(s, n + s));
    const torch::Tensor q = by_head(decoder_.queries(0, input, rotation), kv);
    const KeysValues rows = decoder_.keys_values(0, input, rotation);
    const torch::Tensor keys = by_head(rows.keys, kv), values = by_head(rows.values, kv);
    if (s == 0) {
      first_keys = keys, first_values = values;
    } else {
      own_keys.push_back(keys), own_values.push_back(values);
    }
    std::vector<torch::Tensor> scores = {
        torch::matmul(q, first_keys.transpose(-1, -2)).masked_fill(causal, kUnseen)};
    for (const torch::Tensor& own : own_keys) scores.push_back((q * own).sum(-1, true));
    const torch::Tensor weights = torch::softmax(torch::cat(scores, -1) * kind.score_scale(), -1);
    torch::Tensor attended = torch::matmul(weights.slice(-1, 0, n), first_values);
    for (size_t i = 0; i < own_values.size(); ++i)
      attended = attended +
                 weights.slice(-1, n + static_cast<int64_t>(i), n + static_cast<int64_t>(i) + 1) *
                     own_values[i];
    residual = decoder_.finish(0, residual, attended.permute({2, 0, 1, 3}).reshape({n, -1}));
    ChainStep step;
    step.logits = decoder_.logits(decoder_.norm(residual, "norm"), tables_.head);
    std::vector<float> mask(static_cast<size_t>(n));
    for (int64_t i = 0; i + s + 1 < n; ++i)
      mask[static_cast<size_t>(i)] =
          sample.loss_mask[static_cast<size_t>(i + s)] != 0 ? 1.0f : 0.0f;
    step.mask = torch::tensor(mask);
    step.target_rows = torch::arange(s + 1, n + s + 1).clamp_max(n - 1);
    steps.push_back(std::move(step));
  }
  return steps;
}

torch::Tensor Eagle3Net::target_probabilities(const Sample& sample) const {
  return decoder_.target_probabilities(sample.last_hidden, sample.log_sum, tables_.head);
}

ChainSums chain_sums(const std::vector<ChainStep>& steps, const torch::Tensor& target) {
  ChainSums sums;
  for (const ChainStep& step : steps) {
    const torch::Tensor rows = step.mask.nonzero().squeeze(1);
    const torch::Tensor log_p = torch::log_softmax(step.logits.index_select(0, rows), -1);
    const torch::Tensor t = target.index_select(0, step.target_rows.index_select(0, rows));
    sums.soft_ce.push_back(-(t * log_p).sum());
    const torch::NoGradGuard guard;
    sums.counted.push_back(static_cast<double>(rows.size(0)));
    sums.agree.push_back(log_p.argmax(-1).eq(t.argmax(-1)).sum().item<double>());
    sums.overlap.push_back(torch::min(log_p.exp(), t).sum().item<double>());
  }
  return sums;
}

torch::Tensor total_loss(const ChainSums& sums, double decay, double positions) {
  torch::Tensor total = torch::zeros({});
  for (size_t s = 0; s < sums.soft_ce.size(); ++s)
    total = total + std::pow(decay, static_cast<double>(s)) * sums.soft_ce[s] / positions;
  return total;
}

}  // namespace dspark::train
