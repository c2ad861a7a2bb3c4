#include "apps/confidence_report.h"

namespace dspark::apps {
namespace {

Json quality_json(const verify::ConfidenceQuality& q) {
  return {{"count", q.count},
          {"ece", number(q.ece)},
          {"auc", number(q.auc)},
          {"brier", number(q.brier)},
          {"predicted", number(q.prediction)},
          {"accepted", number(q.outcome)}};
}

}  // namespace

std::string number(std::optional<double> value, int digits) {
  return value ? fmt::format("{:.{}f}", *value, digits) : std::string("-");
}
Json number(std::optional<double> value) { return value ? Json(*value) : Json(nullptr); }

std::string interval_text(const std::optional<verify::Interval>& interval, int digits) {
  return interval ? fmt::format("{:.{}f} to {:.{}f}", interval->low, digits, interval->high, digits)
                  : std::string("-");
}
Json interval_json(const std::optional<verify::Interval>& interval) {
  return interval ? Json{interval->low, interval->high} : Json(nullptr);
}

std::string confidence_head() {
  return fmt::format(" {:>6} {:>16} {:>6} {:>16} {:>6} {:>16} {:>9} {:>8}\n", "ECE", "95 %", "AUC",
                     "95 %", "Brier", "95 %", "predicted", "accepted");
}

std::string confidence_line(const verify::ConfidenceQuality& all,
                            const verify::QualityIntervals& intervals) {
  return fmt::format(" {:>6} {:>16} {:>6} {:>16} {:>6} {:>16} {:>9} {:>8}\n", number(all.ece, 4),
                     interval_text(intervals.ece, 4), number(all.auc, 3),
                     interval_text(intervals.auc, 3), number(all.brier, 3),
                     interval_text(intervals.brier, 3), number(all.prediction, 3),
                     number(all.outcome, 3));
}

Json confidence_json(const verify::ConfidenceMetrics& confidence,
                     const verify::QualityIntervals& intervals, int slots) {
  Json json = quality_json(confidence.summary());
  json["ece_interval"] = interval_json(intervals.ece);
  json["auc_interval"] = interval_json(intervals.auc);
  json["brier_interval"] = interval_json(intervals.brier);
  Json positions = Json::array();
  for (int k = 0; k < slots; ++k) {
    Json position = quality_json(confidence.at(k));
    Json bins = Json::array();
    for (const auto& bin : confidence.reliability(k))
      bins.push_back({{"bin", bin.bin},
                      {"range", {bin.low, bin.high}},
                      {"predicted", bin.prediction},
                      {"accepted", bin.outcome},
                      {"count", bin.count}});
    position["reliability"] = std::move(bins);
    positions.push_back(std::move(position));
  }
  json["by_position"] = std::move(positions);
  return json;
}

}  // namespace dspark::apps
