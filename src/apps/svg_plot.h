// Line plots as SVG text: for a browser, a README or a paper, with no library.
#pragma once

#include <string>
#include <vector>

namespace dspark::apps {

struct PlotLine {
  std::string label = {};  // in the legend; empty: not there
  std::vector<std::pair<double, double>> points = {};
  std::vector<double> radii = {};  // of the points' dots; empty: 3 pixels each
  bool faint = false, dashed = false;
};

struct Plot {
  std::string title = {}, x_label = {}, y_label = {};
  double x_low = 0, x_high = 1, x_step = 0.2;  // axis, distance of its marks
  double y_low = 0, y_high = 1, y_step = 0.2;
  bool x_doubles = false;  // x is a logarithm to base 2, and marks show what it is of
  std::vector<PlotLine> lines = {};
};

std::string svg_of(const Plot& plot);
std::string xml_text(const std::string& text);  // escaped; control characters are left out
// A distance of marks, 1, 2 or 5 times a power of ten, that gives about five over the span.
double mark_step(double span);

}  // namespace dspark::apps
