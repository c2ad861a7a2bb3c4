// The train.* parts of a fixture folder: losses, metrics, every gradient, three optimiser steps.
// train_parity FOLDER: failures on stderr; stdout: "pass|fail COUNT". The program parity runs it.
#include "train/torch_headers.h"

#include <cstdio>

#include "parity/fixture_json.h"
#include "parity/runner.h"
#include "parity/tensors.h"
#include "train/eagle3_net.h"
#include "train/losses.h"
#include "train/schedule.h"

namespace dspark::parity {
namespace {

using namespace dspark::train;
namespace fs = std::filesystem;

constexpr double kLossTolerance = 1e-5;  // relative
constexpr double kGradient = 1e-5, kGradientShare = 1e-3;

class Folder {
 public:
  Folder(const fs::path& path, Report& report)
      : report(report),
        json(read_json(path / "train.json")),
        tensors(formats::Safetensors::open(path / "train.safetensors").take()),
        file(draft::DrafterFile::open(path / "draft").take()),
        parameters(Parameters::of(file).take()),
        tables(frozen_tables(file).take()) {}

  torch::Tensor get(const std::string& name) const {
    const TensorView* view = tensors.find(name);
    CHECK(view != nullptr, "{}: no tensor {}", tensors.name(), name);
    if (view->type == DType::kF32) return to_tensor(*view);
    auto* data = const_cast<uint8_t*>(view->data);
    const auto type = view->type == DType::kI32 ? torch::kInt32 : torch::kUInt8;
    return torch::from_blob(data, view->shape, type).to(torch::kLong);
  }

  std::vector<Sample> samples() const {
    const torch::Tensor ids = get("batch.input_ids"), mask = get("batch.loss_mask");
    const torch::Tensor real = get("batch.attention_mask").sum(1);
    const torch::Tensor features = get("batch.target_hidden_states");
    const torch::Tensor last = get("batch.target_last_hidden_states");
    std::vector<Sample> list(static_cast<size_t>(ids.size(0)));
    for (int64_t s = 0; s < ids.size(0); ++s) {
      Sample& sample = list[static_cast<size_t>(s)];
      const int64_t n = real[s].item<int64_t>();
      for (int64_t i = 0; i < n; ++i) {
        sample.ids.push_back(ids[s][i].item<int32_t>());
        sample.loss_mask.push_back(static_cast<uint8_t>(mask[s][i].item<int64_t>()));
      }
      sample.features = features[s].slice(0, 0, n);
      sample.last_hidden = last[s].slice(0, 0, n);
    }
    return list;
  }

  void near_metric(const char* name, double got) {
    const auto key = fmt::format("train/{}", name);
    if (!json["metrics"].contains(key)) return;
    const double want = json["metrics"][key];
    report.check(std::fabs(got - want) <= 1e-5 * std::max(1.0, std::fabs(want)),
                 fmt::format("{}: {} instead of {}", name, got, want));
  }

  void check_loss(const char* name, double got, double want) {
    report.check(std::fabs(got - want) <= kLossTolerance * std::fabs(want),
                 fmt::format("{}: {} instead of {}", name, got, want));
  }

  void check_close(const std::string& what, const torch::Tensor& got, const torch::Tensor& want,
                   double absolute, double relative) {
    const torch::Tensor over = (got - want).abs() - (absolute + relative * want.abs());
    report.check(over.max().item<double>() <= 0,
                 fmt::format("{}: off by {}", what, (got - want).abs().max().item<double>()));
  }

  void check_gradients(const std::string& prefix) {
    for (const std::string& name : parameters.names()) {
      const torch::Tensor grad = parameters[name].grad();
      if (tensors.find(prefix + name) == nullptr) {
        report.check(prefix != "grad." && (!grad.defined() || grad.abs().max().item<float>() == 0),
                     fmt::format("{}{}: not in the fixture", prefix, name));
        continue;
      }
      const torch::Tensor want = get(prefix + name);
      check_close(prefix + name, grad.defined() ? grad : torch::zeros_like(want), want, kGradient,
                  kGradientShare);
    }
  }

  // loss() of a step, three times, with the optimiser of the fixture.
  void check_steps(const std::function<torch::Tensor()>& loss) {
    torch::optim::AdamW optimiser(
        parameters.trained(), torch::optim::AdamWOptions(json["lr"].get<double>()).weight_decay(0));
    for (size_t step = 0; step < 3; ++step) {
      optimiser.zero_grad();
      const torch::Tensor value = loss();
      check_loss("loss of a step", value.item<double>(), json["losses_at_steps_1_2_3"][step]);
      value.backward();
      const double norm = torch::nn::utils::clip_grad_norm_(parameters.trained(), 1.0);
      check_loss("norm of gradients", norm, json["grad_norms_before_clip"][step]);
      optimiser.step();
    }
    double values = 0, off = 0;
    for (const std::string& name : parameters.names()) {
      const torch::Tensor d = (parameters[name].detach() - get("param_after_3." + name)).abs();
      report.check(d.max().item<double>() <= 6e-4, name + " after 3 steps");
      values += static_cast<double>(d.numel());
      off += d.gt(1e-5).sum().item<double>();
    }
    report.check(off <= 1e-3 * values, fmt::format("{} of {} parameters off", off, values));
  }

  Report& report;
  nlohmann::json json;
  formats::Safetensors tensors;
  draft::DrafterFile file;
  Parameters parameters;
  FrozenTables tables;
};

// No fixture has it: libtorch's own log-softmax does.
void check_soft_ce(Folder& f, const BlockOutput& output, const BlockBatch& batch,
                   const torch::Tensor& target) {
  const torch::Tensor rows = batch.target_rows.flatten();
  const auto leaf = [&] { return output.logits.detach().clone().requires_grad_(); };
  const torch::Tensor ours = leaf(), reference = leaf();
  const torch::Tensor got = slot_losses(ours, batch.labels.flatten(), target, rows).soft_ce;
  const torch::Tensor want =
      -(target.index_select(0, rows) * torch::log_softmax(reference, 1)).sum(1);
  f.check_close("soft_ce", got.detach(), want.detach(), kTolerance, 1e-5);
  const torch::Tensor weights = torch::arange(1, got.size(0) + 1).to(torch::kFloat32);
  (got * weights).sum().backward(), (want * weights).sum().backward();
  f.check_close("soft_ce's gradient", ours.grad(), reference.grad(), kGradient, kGradientShare);
}

void check_block(Folder& f) {
  const draft::DrafterConfig& config = f.file.config();
  const std::vector<Sample> samples = f.samples();
  const torch::Tensor anchors = f.get("batch.anchors"), keep = f.get("batch.anchor_keep");
  const torch::Tensor candidates = f.get("batch.anchor_candidates");
  std::vector<std::vector<int64_t>> chosen(samples.size());
  std::vector<const Sample*> list;
  double valid = 0, kept = 0;
  for (size_t s = 0; s < samples.size(); ++s) {
    const auto row = static_cast<int64_t>(s);
    list.push_back(&samples[s]);
    for (int64_t i = 0; i < anchors.size(1); ++i)
      if (keep[row][i].item<int64_t>() != 0) chosen[s].push_back(anchors[row][i].item<int64_t>());
    std::vector<int64_t> want;
    for (int64_t i = 0; i < candidates.size(1); ++i)
      if (candidates[row][i].item<int64_t>() != 0) want.push_back(i);
    f.report.check(valid_anchors(samples[s].loss_mask) == want, "admissible anchors");
    valid += static_cast<double>(want.size()), kept += static_cast<double>(chosen[s].size());
  }
  const auto count = static_cast<double>(samples.size());
  f.near_metric("valid_anchors_abs", valid / count);
  f.near_metric("sampled_anchors_abs", kept / count);

  LossWeights weights;
  if (!config.confidence_head) weights = {.ce = 1, .l1 = 0, .confidence = 0};
  const BlockBatch batch = BlockMaker(config).make(list, chosen);
  const BlockNet net(config, f.parameters, f.tables, Precision::kFloat32);
  const torch::Tensor target = net.target_probabilities(batch);
  const auto loss = [&] {
    const BlockSums sums = block_sums(net.forward(batch), batch, target, weights.decay);
    return total_loss(sums, weights, sums.weight);
  };
  const BlockOutput output = net.forward(batch);
  const BlockSums sums = block_sums(output, batch, target, weights.decay);
  BlockMetrics metrics(config.slots());
  metrics.add(sums, output, batch, target, weights.decay);
  const auto kept_blocks = keep.flatten().nonzero().squeeze(1);
  const auto at_kept = [&](const char* name) {
    const torch::Tensor all = f.get(name);
    return all.flatten(0, 1).index_select(0, kept_blocks);
  };
  const torch::Tensor valid_slots = at_kept("out.eval_mask");
  f.report.check(batch.valid.to(torch::kLong).equal(valid_slots), "supervised slots");
  const auto slots = [&](const char* name, const torch::Tensor& got, double tolerance) {
    f.check_close(name, got.detach() * batch.valid, at_kept(name) * batch.valid, tolerance, 0);
  };
  f.check_close("out.h", output.hidden.detach(), at_kept("out.h"), kTolerance, 0);
  slots("out.ce", sums.slot_ce, kTolerance);
  slots("out.accept_rate", sums.overlap, kTolerance);
  if (output.confidence.defined()) slots("out.confidence_logits", output.confidence, kTolerance);
  f.check_loss("loss", loss().item<double>(), f.json["loss"]);
  if (weights.l1 > 0) f.check_loss("l1", metrics.l1(), f.json["l1_loss"]);
  f.check_loss("ce", metrics.ce(), f.json["ce_loss"]);
  if (weights.confidence > 0)
    f.check_loss("confidence", metrics.confidence(), f.json["confidence_loss"]);
  for (int j = 0; j < config.slots(); ++j)
    f.near_metric(fmt::format("accept_rate@{}", j).c_str(), metrics.accept_rate(j));
  f.near_metric("tau_probabilistic", metrics.tau());
  f.near_metric("confidence_abs_error", metrics.confidence_abs_error());
  f.near_metric("confidence_bias", metrics.confidence_bias());
  f.near_metric("confidence_cumprod_bias", metrics.confidence_cumprod_bias());
  f.near_metric("block_supervised_tokens_abs", metrics.slots_a_block());
  f.near_metric("block_supervised_tokens_ratio", metrics.slots_a_block() / config.slots());
  check_soft_ce(f, output, batch, target);
  loss().backward();
  f.check_gradients("grad.");
  f.check_steps(loss);
}

void check_eagle3(Folder& f) {
  const draft::DrafterConfig& config = f.file.config();
  const std::vector<Sample> samples = f.samples();
  const auto positions = static_cast<double>(f.get("batch.input_ids").numel());
  const double decay = f.json["step_weights"][1];
  const Eagle3Net net(config, f.parameters, f.tables, Precision::kFloat32);
  const auto pass = [&](const std::function<void(const ChainSums&)>& visit) {
    for (const Sample& sample : samples)
      visit(chain_sums(net.forward(sample), net.target_probabilities(sample)));
  };
  const auto loss = [&] {
    torch::Tensor total = torch::zeros({});
    pass([&](const ChainSums& sums) { total = total + total_loss(sums, decay, positions); });
    return total;
  };
  const auto steps = static_cast<size_t>(config.ttt_length);
  std::vector<torch::Tensor> step_loss(steps, torch::zeros({}));
  std::vector<double> counted(steps), agree(steps), overlap(steps);
  pass([&](const ChainSums& sums) {
    for (size_t s = 0; s < steps; ++s) {
      step_loss[s] = step_loss[s] + sums.soft_ce[s] / positions;
      counted[s] += sums.counted[s], agree[s] += sums.agree[s], overlap[s] += sums.overlap[s];
    }
  });
  for (size_t s = 0; s < steps; ++s) {
    f.check_loss("step loss", step_loss[s].item<double>(), f.json["step_losses"][s]);
    const auto at = [&](const char* name) { return fmt::format("{}@{}", name, s); };
    f.near_metric(at("valid_tokens").c_str(), counted[s]);
    f.near_metric(at("accuracy").c_str(), agree[s] / counted[s]);
    f.near_metric(at("accept_rate").c_str(), overlap[s] / counted[s]);
    for (const torch::Tensor& tensor : f.parameters.trained())
      tensor.mutable_grad() = torch::Tensor();
    step_loss[s].backward({}, true);
    f.check_gradients(fmt::format("grad_step{}.", s));
  }
  for (const torch::Tensor& tensor : f.parameters.trained())
    tensor.mutable_grad() = torch::Tensor();
  const torch::Tensor value = loss();
  f.check_loss("loss", value.item<double>(), f.json["loss"]);
  value.backward();
  f.check_gradients("grad.");
  f.check_steps(loss);
}

void check_schedule(const fs::path& file, Report& report) {
  for (const auto& item : read_json(file)) {
    const int64_t total = item["total_steps"];
    for (int64_t n = 0; n < total; ++n) {
      const double want = item["lr_used"][static_cast<size_t>(n)];
      const double got = learning_rate(item["peak"], item["warmup_ratio"], total, n);
      report.check(std::fabs(got - want) <= 1e-9 * want,
                   fmt::format("step {} of {}: {} instead of {}", n, total, got, want));
    }
  }
}

int run(const fs::path& path) {
  Report report;
  if (fs::exists(path / "lr_schedule.json")) check_schedule(path / "lr_schedule.json", report);
  if (fs::exists(path / "train.json")) {
    Folder folder(path, report);
    if (folder.file.config().kind == draft::Kind::kBlock)
      check_block(folder);
    else
      check_eagle3(folder);
  }
  for (const std::string& failure : report.failures())
    std::fprintf(stderr, "%s\n", failure.c_str());
  std::printf("%s %d\n", report.failed() ? "fail" : "pass", report.count());
  return report.failed() ? 1 : 0;
}

}  // namespace
}  // namespace dspark::parity

int main(int argc, char** argv) {
  if (argc == 2) return dspark::parity::run(argv[1]);
  std::fprintf(stderr, "usage: train_parity FOLDER\n");
  return 2;
}
