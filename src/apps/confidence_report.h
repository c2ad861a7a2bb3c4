// Figures of confidences as text and as JSON (docs/json.md), of eval and calibrate alike.
#pragma once

#include <optional>
#include <string>

#include "apps/json_lines.h"
#include "verify/verify.h"

namespace dspark::apps {

// "-" and null where undefined.
std::string number(std::optional<double> value, int digits);
Json number(std::optional<double> value);

std::string interval_text(const std::optional<verify::Interval>& interval, int digits);
Json interval_json(const std::optional<verify::Interval>& interval);

// A table's head, and a line of figures with their intervals; both without the label in front.
std::string confidence_head();
std::string confidence_line(const verify::ConfidenceQuality& all,
                            const verify::QualityIntervals& intervals);

// Over all slots, with intervals, and each slot with its reliability.
Json confidence_json(const verify::ConfidenceMetrics& confidence,
                     const verify::QualityIntervals& intervals, int slots);

}  // namespace dspark::apps
