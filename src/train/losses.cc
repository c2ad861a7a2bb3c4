#include "train/losses.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>

namespace dspark::train {
namespace {

constexpr int64_t kRowsAtOnce = 8;

// The derivative of |p - t| by p.
float sign_of(float p, float t) { return p > t ? 1.0f : p < t ? -1.0f : 0.0f; }

// Cross-entropies and L1 of softmax rows. What backward needs is the softmax alone.
struct SlotLossFunction : torch::autograd::Function<SlotLossFunction> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                torch::Tensor logits, torch::Tensor labels,
                                                torch::Tensor target, torch::Tensor target_rows) {
    const torch::Tensor p = torch::softmax(logits, 1);
    const int64_t rows = p.size(0), vocab = p.size(1);
    torch::Tensor ce = torch::zeros({rows}), l1 = torch::empty({rows}), soft = torch::empty({rows});
    torch::Tensor mean = torch::empty({rows}), mass = torch::empty({rows});
    const float* all_x = logits.data_ptr<float>();
    const float* all_p = p.data_ptr<float>();
    const float* all_t = target.data_ptr<float>();
    const auto *label = labels.data_ptr<int64_t>(), *row_of = target_rows.data_ptr<int64_t>();
    float *ce_out = ce.data_ptr<float>(), *l1_out = l1.data_ptr<float>();
    float *mean_out = mean.data_ptr<float>(), *mass_out = mass.data_ptr<float>();
    float* soft_out = soft.data_ptr<float>();
    at::parallel_for(0, rows, kRowsAtOnce, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float *pr = all_p + r * vocab, *tr = all_t + row_of[r] * vocab;
        const float* x = all_x + r * vocab;
        float distance = 0, sum = 0, signs = 0, score = 0;
        for (int64_t v = 0; v < vocab; ++v) {
          distance += std::fabs(pr[v] - tr[v]);
          sum += tr[v];
          signs += pr[v] * sign_of(pr[v], tr[v]);
          score += tr[v] * x[v];
        }
        const int64_t best = std::max_element(pr, pr + vocab) - pr;
        l1_out[r] = distance + std::max(0.0f, 1 - sum);
        soft_out[r] = sum * (x[best] - std::log(pr[best])) - score;
        mean_out[r] = signs, mass_out[r] = sum;
        if (label[r] >= 0) ce_out[r] = -std::log(std::max(pr[label[r]], 1e-38f));
      }
    });
    context->save_for_backward({p, labels, target, target_rows, mean, mass});
    return {ce, l1, soft};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &p = saved[0], &labels = saved[1], &target = saved[2], &mean = saved[4];
    const int64_t rows = p.size(0), vocab = p.size(1);
    const auto floats = [&](const torch::Tensor& g) {
      return g.defined() ? g.contiguous() : torch::zeros({rows});
    };
    const torch::Tensor ce = floats(gradients[0]), l1 = floats(gradients[1]);
    const torch::Tensor soft = floats(gradients[2]);
    torch::Tensor out = torch::empty_like(p);
    const float *all_p = p.data_ptr<float>(), *all_t = target.data_ptr<float>();
    const auto *label = labels.data_ptr<int64_t>(), *row_of = saved[3].data_ptr<int64_t>();
    const float *mean_in = mean.data_ptr<float>(), *ce_in = ce.data_ptr<float>();
    const float *l1_in = l1.data_ptr<float>(), *soft_in = soft.data_ptr<float>();
    const float* mass_in = saved[5].data_ptr<float>();
    float* all_out = out.data_ptr<float>();
    at::parallel_for(0, rows, kRowsAtOnce, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float *pr = all_p + r * vocab, *tr = all_t + row_of[r] * vocab;
        float* g = all_out + r * vocab;
        const float of_ce = label[r] >= 0 ? ce_in[r] : 0, of_l1 = l1_in[r], of_soft = soft_in[r];
        const float all = of_ce + of_soft * mass_in[r] - of_l1 * mean_in[r];
        for (int64_t v = 0; v < vocab; ++v)
          g[v] = pr[v] * (all + of_l1 * sign_of(pr[v], tr[v])) - of_soft * tr[v];
        if (label[r] >= 0) g[label[r]] -= of_ce;
      }
    });
    return {out, {}, {}, {}};
  }
};

torch::Tensor slot_weights(const BlockBatch& batch, double decay) {
  return batch.valid * torch::exp(torch::arange(batch.valid.size(1)) / -decay);
}

// Sum over supervised slots by place, as numbers.
void add_by_slot(const torch::Tensor& values, std::vector<double>& sums) {
  const torch::Tensor by_slot = values.to(torch::kDouble).sum(0);
  for (size_t j = 0; j < sums.size(); ++j)
    sums[j] += by_slot[static_cast<int64_t>(j)].item<double>();
}

}  // namespace

SlotLosses slot_losses(const torch::Tensor& logits, const torch::Tensor& labels,
                       const torch::Tensor& target, const torch::Tensor& target_rows) {
  const auto out =
      SlotLossFunction::apply(logits.contiguous(), labels.contiguous(), target, target_rows);
  return {out[0], out[1], out[2]};
}

BlockSums block_sums(const BlockOutput& output, const BlockBatch& batch,
                     const torch::Tensor& target, double decay) {
  const SlotLosses losses =
      slot_losses(output.logits, batch.labels.flatten(), target, batch.target_rows.flatten());
  const torch::Tensor weights = slot_weights(batch, decay);
  BlockSums sums;
  sums.slot_ce = losses.ce.view_as(weights);
  const torch::Tensor l1 = losses.l1.view_as(weights);
  sums.ce = (sums.slot_ce * weights).sum();
  sums.l1 = (l1 * weights).sum();
  sums.soft_ce = (losses.soft_ce.view_as(weights) * weights).sum();
  sums.overlap = (1 - 0.5 * l1.detach()).clamp(0, 1);
  sums.confidence = output.confidence.defined()
                        ? (torch::binary_cross_entropy_with_logits(output.confidence, sums.overlap,
                                                                   {}, {}, at::Reduction::None) *
                           weights)
                              .sum()
                        : torch::zeros({});
  sums.weight = weights.sum().item<double>();
  return sums;
}

torch::Tensor total_loss(const BlockSums& sums, const LossWeights& weights, double denominator) {
  return (weights.ce * sums.ce + weights.soft_ce * sums.soft_ce + weights.l1 * sums.l1 +
          weights.confidence * sums.confidence) /
         (denominator + 1e-6);
}

BlockMetrics::BlockMetrics(int slots)
    : overlap_(static_cast<size_t>(slots)), agree_(overlap_), supervised_(overlap_) {}

void BlockMetrics::add(const BlockSums& sums, const BlockOutput& output, const BlockBatch& batch,
                       const torch::Tensor& target, double decay) {
  const torch::NoGradGuard guard;
  ce_ += sums.ce.item<double>(), l1_ += sums.l1.item<double>();
  soft_ce_ += sums.soft_ce.item<double>();
  confidence_ += sums.confidence.item<double>(), weight_ += sums.weight;
  const torch::Tensor& valid = batch.valid;
  const torch::Tensor overlap = sums.overlap * valid;
  const torch::Tensor best = target.argmax(1).index_select(0, batch.target_rows.flatten());
  const torch::Tensor agree =
      output.logits.argmax(1).eq(best).to(torch::kFloat32).view_as(valid) * valid;
  add_by_slot(overlap, overlap_), add_by_slot(agree, agree_), add_by_slot(valid, supervised_);
  const torch::Tensor held = valid.select(1, 0);  // blocks with a supervised slot
  const auto tau = [&](const torch::Tensor& rates) {
    return ((1 + rates.cumprod(1).sum(1)) * held).sum().item<double>();
  };
  tau_ += tau(overlap), tau_greedy_ += tau(agree), blocks_ += held.sum().item<double>();
  positions_ += valid.sum().item<double>();
  for (const Part& part : batch.parts) {
    const torch::Tensor own = valid.slice(0, part.first_block, part.first_block + part.blocks);
    slots_a_block_ += own.sum(1).mean().item<double>(), sequences_ += 1;
  }
  if (!output.confidence.defined()) return;
  const torch::Tensor c = torch::sigmoid(output.confidence), weights = slot_weights(batch, decay);
  const torch::Tensor off = (c - sums.overlap) * weights;
  abs_error_ += off.abs().sum().item<double>(), bias_ += off.sum().item<double>();
  cumprod_bias_ += ((c.cumprod(1) - sums.overlap.cumprod(1)) * weights).sum().item<double>();
}

void BlockMetrics::add(const BlockMetrics& other) {
  for (const auto sum :
       {&BlockMetrics::ce_, &BlockMetrics::l1_, &BlockMetrics::soft_ce_, &BlockMetrics::confidence_,
        &BlockMetrics::weight_, &BlockMetrics::tau_, &BlockMetrics::tau_greedy_,
        &BlockMetrics::blocks_, &BlockMetrics::positions_, &BlockMetrics::abs_error_,
        &BlockMetrics::bias_, &BlockMetrics::cumprod_bias_, &BlockMetrics::slots_a_block_,
        &BlockMetrics::sequences_})
    this->*sum += other.*sum;
  for (const auto sums :
       {&BlockMetrics::overlap_, &BlockMetrics::agree_, &BlockMetrics::supervised_})
    for (size_t j = 0; j < overlap_.size(); ++j) (this->*sums)[j] += (other.*sums)[j];
}

double BlockMetrics::loss(const LossWeights& weights) const {
  return weights.ce * ce() + weights.soft_ce * soft_ce() + weights.l1 * l1() +
         weights.confidence * confidence();
}

}  // namespace dspark::train
