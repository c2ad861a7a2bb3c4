#include "train/task.h"

#include <torch/torch.h>

#include "train/block_net.h"
#include "train/eagle3_net.h"
#include "train/losses.h"

namespace dspark::train {
namespace {

constexpr uint64_t kMeasureSeed =
    0x6d656173757265;  // anchors of evaluations are the same each time

class BlockTaskMetrics : public Metrics {
 public:
  BlockTaskMetrics(int slots, const LossWeights& weights) : sums(slots), weights_(weights) {}
  nlohmann::ordered_json json() const override {
    nlohmann::ordered_json j = {{"loss", sums.loss(weights_)}, {"ce_loss", sums.ce()}};
    if (weights_.soft_ce > 0) j["soft_ce_loss"] = sums.soft_ce();
    if (weights_.l1 > 0) j["l1_loss"] = sums.l1();
    if (weights_.confidence > 0) {
      j["confidence_loss"] = sums.confidence();
      j["confidence_abs_error"] = sums.confidence_abs_error();
      j["confidence_bias"] = sums.confidence_bias();
      j["confidence_cumprod_bias"] = sums.confidence_cumprod_bias();
    }
    j["tau_probabilistic"] = sums.tau();
    j["tau_greedy"] = sums.tau_greedy();
    for (int k = 0; k < sums.slots(); ++k) {
      j[fmt::format("accept_rate@{}", k)] = sums.accept_rate(k);
      j[fmt::format("accuracy@{}", k)] = sums.top1(k);
    }
    j["sampled_anchors_abs"] = sums.blocks();
    j["block_supervised_tokens_abs"] = sums.slots_a_block();
    return j;
  }
  double loss() const override { return sums.loss(weights_); }
  double tau() const override { return sums.tau(); }
  double positions() const override { return sums.positions(); }
  void add(const Metrics& other) override {
    sums.add(static_cast<const BlockTaskMetrics&>(other).sums);
  }

  BlockMetrics sums;

 private:
  LossWeights weights_;
};

class BlockTask : public Task {
 public:
  BlockTask(const Recipe& recipe, const draft::DrafterConfig& config, const Parameters& parameters,
            const FrozenTables& tables, Precision precision)
      : config_(config),
        maker_(config),
        net_(config, parameters, tables, precision),
        anchors_(recipe.anchors),
        seed_(static_cast<uint64_t>(recipe.seed)) {
    weights_ = {recipe.ce, recipe.l1, config.confidence_head ? recipe.confidence_weight : 0,
                recipe.soft_ce, recipe.decay};
  }

  std::unique_ptr<Metrics> new_metrics() const override {
    return std::make_unique<BlockTaskMetrics>(config_.slots(), weights_);
  }

  void learn(std::span<const Sample* const> samples, uint64_t visit, double scale, Group& group,
             Metrics& metrics) override {
    const auto anchors = anchors_of(samples, seed_, visit);
    double denominator = 0;
    if (has_any(anchors)) {
      const BlockBatch batch = maker_.make(samples, anchors);
      const torch::Tensor target = net_.target_probabilities(batch);
      const BlockOutput output = net_.forward(batch);
      const BlockSums sums = block_sums(output, batch, target, weights_.decay);
      static_cast<BlockTaskMetrics&>(metrics).sums.add(sums, output, batch, target, weights_.decay);
      denominator = group.sum(sums.weight);
      (total_loss(sums, weights_, denominator) * scale).backward();
    } else {
      group.sum(0.0);
    }
  }

  void measure(std::span<const Sample* const> samples, Metrics& metrics) override {
    const torch::NoGradGuard guard;
    const auto anchors = anchors_of(samples, kMeasureSeed, 0);
    if (!has_any(anchors)) return;
    const BlockBatch batch = maker_.make(samples, anchors);
    const torch::Tensor target = net_.target_probabilities(batch);
    const BlockOutput output = net_.forward(batch);
    static_cast<BlockTaskMetrics&>(metrics).sums.add(
        block_sums(output, batch, target, weights_.decay), output, batch, target, weights_.decay);
  }

 private:
  std::vector<std::vector<int64_t>> anchors_of(std::span<const Sample* const> samples,
                                               uint64_t seed, uint64_t visit) const {
    std::vector<std::vector<int64_t>> anchors;
    for (const Sample* sample : samples)
      anchors.push_back(draw_anchors(valid_anchors(sample->loss_mask), anchors_, seed, visit++));
    return anchors;
  }
  static bool has_any(const std::vector<std::vector<int64_t>>& anchors) {
    for (const auto& list : anchors)
      if (!list.empty()) return true;
    return false;
  }

  const draft::DrafterConfig& config_;
  BlockMaker maker_;
  BlockNet net_;
  int64_t anchors_;
  uint64_t seed_;
  LossWeights weights_;
};

class ChainMetrics : public Metrics {
 public:
  ChainMetrics(int steps, double decay)
      : decay_(decay), ce(static_cast<size_t>(steps)), counted(ce), agree(ce), overlap(ce) {}
  nlohmann::ordered_json json() const override {
    nlohmann::ordered_json j = {
        {"loss", loss()}, {"tau_probabilistic", tau()}, {"tau_greedy", chain(agree)}};
    for (size_t s = 0; s < ce.size(); ++s) {
      j[fmt::format("ploss_{}", s)] = ratio(ce[s], rows);
      j[fmt::format("accept_rate@{}", s)] = ratio(overlap[s], counted[s]);
      j[fmt::format("accuracy@{}", s)] = ratio(agree[s], counted[s]);
      j[fmt::format("valid_tokens@{}", s)] = counted[s];
    }
    return j;
  }
  double loss() const override {
    double sum = 0, weight = 1;
    for (size_t s = 0; s < ce.size(); ++s, weight *= decay_) sum += weight * ratio(ce[s], rows);
    return sum;
  }
  double tau() const override { return chain(overlap); }
  double positions() const override {
    double sum = 0;
    for (const double c : counted) sum += c;
    return sum;
  }
  void add(const Metrics& other) override {
    const auto& o = static_cast<const ChainMetrics&>(other);
    rows += o.rows;
    for (size_t s = 0; s < ce.size(); ++s) {
      ce[s] += o.ce[s], counted[s] += o.counted[s];
      agree[s] += o.agree[s], overlap[s] += o.overlap[s];
    }
  }
  static double ratio(double a, double b) { return b > 0 ? a / b : 0; }
  // 1 + the products of rates: what a chain of independent steps accepts.
  double chain(const std::vector<double>& hits) const {
    double tau = 1, product = 1;
    for (size_t s = 0; s < hits.size(); ++s) tau += product *= ratio(hits[s], counted[s]);
    return tau;
  }

 private:
  double decay_;

 public:
  std::vector<double> ce, counted, agree, overlap;
  double rows = 0;
};

class ChainTask : public Task {
 public:
  ChainTask(const Recipe& recipe, const draft::DrafterConfig& config, const Parameters& parameters,
            const FrozenTables& tables, Precision precision)
      : config_(config), net_(config, parameters, tables, precision), decay_(recipe.step_decay) {}

  std::unique_ptr<Metrics> new_metrics() const override {
    return std::make_unique<ChainMetrics>(config_.ttt_length, decay_);
  }
  void learn(std::span<const Sample* const> samples, uint64_t, double scale, Group& group,
             Metrics& metrics) override {
    double rows = 0;
    for (const Sample* sample : samples) rows += static_cast<double>(sample->tokens());
    // The reference divides by each process's own rows and averages processes (spec D.5).
    const double denominator = rows * group.size();
    for (const Sample* sample : samples) {
      const ChainSums sums = chain_sums(net_.forward(*sample), net_.target_probabilities(*sample));
      add(sums, *sample, metrics);
      (total_loss(sums, decay_, denominator) * scale).backward();
    }
  }
  void measure(std::span<const Sample* const> samples, Metrics& metrics) override {
    const torch::NoGradGuard guard;
    for (const Sample* sample : samples)
      add(chain_sums(net_.forward(*sample), net_.target_probabilities(*sample)), *sample, metrics);
  }

 private:
  static void add(const ChainSums& sums, const Sample& sample, Metrics& metrics) {
    auto& m = static_cast<ChainMetrics&>(metrics);
    m.rows += static_cast<double>(sample.tokens());
    for (size_t s = 0; s < m.ce.size(); ++s) {
      m.ce[s] += sums.soft_ce[s].item<double>();
      m.counted[s] += sums.counted[s], m.agree[s] += sums.agree[s];
      m.overlap[s] += sums.overlap[s];
    }
  }
  const draft::DrafterConfig& config_;
  Eagle3Net net_;
  double decay_;
};

}  // namespace

std::unique_ptr<Task> make_task(const Recipe& recipe, const draft::DrafterConfig& config,
                                const Parameters& parameters, const FrozenTables& tables,
                                Precision precision) {
  if (config.kind == draft::Kind::kEagle3)
    return std::make_unique<ChainTask>(recipe, config, parameters, tables, precision);
  return std::make_unique<BlockTask>(recipe, config, parameters, tables, precision);
}

}  // namespace dspark::train
