// Predicted survival against what was accepted, as a plot: on the diagonal when confidences are
// true.
#pragma once

#include <string>

#include "apps/svg_plot.h"
#include "verify/verify.h"

namespace dspark::apps {

// All positions together, and each faintly.
Plot reliability_plot(const std::string& title, const verify::ConfidenceMetrics& confidence,
                      int slots);

}  // namespace dspark::apps
