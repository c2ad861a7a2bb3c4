// Target halves of the tiny model fixtures: hidden states, logits, whole generations, in float32 on
// every instruction set.
#include <cmath>
#include <nlohmann/json.hpp>

#include "parity/runner.h"
#include "parity/tensors.h"

namespace dspark::parity {
namespace {

void check_prefill(Runner& runner, const formats::Safetensors& expected, const std::string& where,
                   Report& report) {
  const model::Spec& spec = runner.model().spec;
  const std::vector<int32_t> ids = int_tensor(expected, "input_ids");
  const auto hidden = static_cast<size_t>(spec.hidden);
  std::vector<int> taps;
  for (int l = -1; l < spec.layers; ++l) taps.push_back(l);
  const Runner::Output out = runner.run(ids, taps, true);
  for (size_t t = 0; t < taps.size(); ++t) {
    const std::vector<float> want = tensor(expected, fmt::format("hidden_states.{}", t));
    double difference = 0;
    for (size_t r = 0; r < ids.size(); ++r) {
      std::vector<float> row(
          out.taps.begin() + static_cast<std::ptrdiff_t>((r * taps.size() + t) * hidden),
          out.taps.begin() + static_cast<std::ptrdiff_t>((r * taps.size() + t + 1) * hidden));
      if (t + 1 == taps.size())  // the reference's last entry is the final norm's output
        runner.kernels().rms_norm(row.data(), runner.model().output_norm.data(), spec.norm_eps,
                                  spec.hidden, row.data());
      difference = std::max(difference, largest_difference(row.data(), &want[r * hidden], hidden));
    }
    report.check(difference <= kTolerance,
                 fmt::format("{}: hidden_states.{} differs by {}", where, t, difference));
  }
  const std::vector<float> logits = tensor(expected, "logits");
  const double difference = largest_difference(out.logits.data(), logits.data(), logits.size());
  report.check(out.logits.size() == logits.size() && difference <= kTolerance,
               fmt::format("{}: logits differ by {}", where, difference));
}

void check_generations(Runner& runner, const nlohmann::json& runs, const std::string& where,
                       Report& report) {
  for (const auto& run : runs) {
    const auto prompt = run["prompt_ids"].get<std::vector<int32_t>>();
    auto expected = run["autoregressive_ids"].get<std::vector<int32_t>>();
    expected.erase(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(prompt.size()));
    const auto got = runner.greedy(prompt, static_cast<int>(expected.size()), std::nullopt);
    report.check(got == expected,
                 fmt::format("{}: generation {}", where, run["label"].get<std::string>()));
  }
}

}  // namespace

void check_target(const std::filesystem::path& folder, Report& report) {
  const auto expected = formats::Safetensors::open(folder / "prefill.safetensors");
  const auto generate = read_file(folder / "generate.json", size_t{1} << 26);
  CHECK(expected.ok() && generate.ok(), "{}: prefill.safetensors or generate.json is missing",
        folder.string());
  const auto runs = nlohmann::json::parse(generate.value())["runs"];
  for (const compute::Kernels* kernels : compute::all_kernels()) {
    const std::string isa = kernels->name;
    if (compute::kernels(isa) != kernels) continue;  // not selectable by name on this machine
    auto runner = Runner::open(folder / "target", isa, DType::kF32);
    report.check(runner.ok(), runner.ok() ? "" : runner.message());
    if (!runner.ok()) continue;
    check_prefill(*runner.value(), expected.value(), isa, report);
    check_generations(*runner.value(), runs, isa, report);
  }
}

}  // namespace dspark::parity
