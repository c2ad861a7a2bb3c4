// Fitted calibration temperatures against the reference's.
#include "formats/formats.h"
#include "parity/fixture_json.h"
#include "parity/runner.h"
#include "verify/verify.h"

namespace dspark::parity {

void check_sts(const std::filesystem::path& folder, Report& report) {
  const nlohmann::json want = read_json(folder / "sts_cases.json")["positions"];
  const auto arrays = formats::Safetensors::open(folder / "sts_arrays.safetensors");
  CHECK(arrays.ok(), "{}", arrays.message());
  const TensorView* logits = arrays.value().find("logits");
  const TensorView* bits = arrays.value().find("survival_bits");
  CHECK(logits != nullptr && bits != nullptr, "{}: no logits or survival_bits", folder.string());
  const size_t slots = want.size(), cycles = static_cast<size_t>(bits->values()) / slots;
  std::vector<float> values(cycles * slots);
  std::copy_n(logits->data, logits->bytes, reinterpret_cast<uint8_t*>(values.data()));

  std::vector<verify::ObservedCycle> observed;
  for (size_t i = 0; i < cycles; ++i) {
    int accepted = 0;
    for (size_t k = 0; k < slots; ++k) accepted += bits->data[i * slots + k];
    observed.push_back(
        {std::span(values).subspan(i * slots, slots), static_cast<int>(slots), accepted});
  }
  const auto fit = verify::fit_calibration(observed, static_cast<int>(slots));
  report.check(fit.ok(), fit.ok() ? "" : fit.message());
  if (!fit.ok()) return;
  report.check(verify::validate(fit.value().calibration).ok(), "temperatures");

  // Quality of the survival under both calibrations, as an evaluation would see it.
  verify::ConfidenceMetrics before(static_cast<int>(slots)), after(static_cast<int>(slots));
  std::vector<double> confidence(slots), survival(slots);
  for (const verify::ObservedCycle& cycle : observed) {
    verify::survival(cycle.logits, {}, {}, confidence, survival);
    before.add(survival, cycle.considered, cycle.accepted);
    verify::survival(cycle.logits, {}, fit.value().calibration, confidence, survival);
    after.add(survival, cycle.considered, cycle.accepted);
  }
  for (size_t k = 0; k < slots; ++k) {
    const double t = fit.value().calibration.temperatures[k];
    report.check(t == want[k]["temperature"].get<double>(), fmt::format("T_{} is {}", k, t));
    const auto check = [&](const char* name, const std::optional<double>& got) {
      report.check(near(got, want[k][name], 1e-9), fmt::format("slot {}: {}", k, name));
    };
    check("ece_before", fit.value().ece_before[k]);
    check("ece_after", fit.value().ece_after[k]);
    const verify::ConfidenceQuality plain = before.at(static_cast<int>(k));
    const verify::ConfidenceQuality scaled = after.at(static_cast<int>(k));
    check("ece_before", plain.ece);
    check("ece_after", scaled.ece);
    check("auc_before", plain.auc);
    check("auc_after", scaled.auc);
    check("brier_before", plain.brier);
    check("brier_after", scaled.brier);
  }
}

}  // namespace dspark::parity
