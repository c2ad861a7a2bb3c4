#include "apps/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace dspark::apps {
namespace {

constexpr double kWidth = 640, kHeight = 420;
constexpr double kLeft = 64, kRight = 150, kTop = 40, kBottom = 52;  // room around the axes
// Told apart with colour-blind eyes too (Okabe and Ito).
constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                    "#e69f00", "#56b4e9", "#000000"};
constexpr size_t kColourCount = std::size(kColours);

class Drawing {
 public:
  explicit Drawing(const Plot& plot) : plot_(plot) {}

  std::string draw() {
    out_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
        "height=\"{1}\" font-family=\"sans-serif\" font-size=\"12\">\n"
        "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
        kWidth, kHeight);
    axes();
    for (size_t i = 0; i < plot_.lines.size(); ++i)
      line(plot_.lines[i], kColours[i % kColourCount]);
    return out_ + "</svg>\n";
  }

 private:
  double x(double value) const {
    return kLeft + (value - plot_.x_low) / (plot_.x_high - plot_.x_low) * (kWidth - kLeft - kRight);
  }
  double y(double value) const {
    return kHeight - kBottom -
           (value - plot_.y_low) / (plot_.y_high - plot_.y_low) * (kHeight - kTop - kBottom);
  }

  void text(double at_x, double at_y, const char* anchor, const std::string& words,
            const std::string& more = "") {
    out_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", at_x,
                        at_y, anchor, more, xml_text(words));
  }
  void stroke(double x1, double y1, double x2, double y2, const char* style) {
    out_ += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1,
                        y1, x2, y2, style);
  }

  void axes() {
    const double right = kWidth - kRight, bottom = kHeight - kBottom;
    constexpr const char* kGrid = "stroke=\"#dddddd\"";
    const auto marks = [](double low, double high, double step) {
      return static_cast<int>(std::floor((high - low) / step + 1e-6));
    };
    for (int i = 0; i <= marks(plot_.x_low, plot_.x_high, plot_.x_step); ++i) {
      const double value = plot_.x_low + i * plot_.x_step;
      stroke(x(value), kTop, x(value), bottom, kGrid);
      text(x(value), bottom + 16, "middle",
           plot_.x_doubles ? fmt::format("{:g}", std::exp2(value)) : fmt::format("{:.3g}", value));
    }
    for (int i = 0; i <= marks(plot_.y_low, plot_.y_high, plot_.y_step); ++i) {
      const double value = plot_.y_low + i * plot_.y_step;
      stroke(kLeft, y(value), right, y(value), kGrid);
      text(kLeft - 6, y(value) + 4, "end", fmt::format("{:.3g}", value));
    }
    stroke(kLeft, bottom, right, bottom, "stroke=\"black\"");
    stroke(kLeft, kTop, kLeft, bottom, "stroke=\"black\"");
    text((kLeft + right) / 2, 24, "middle", plot_.title, " font-size=\"15\"");
    text((kLeft + right) / 2, kHeight - 14, "middle", plot_.x_label);
    const double middle = (kTop + bottom) / 2;
    text(16, middle, "middle", plot_.y_label,
         fmt::format(" transform=\"rotate(-90 16 {:.1f})\"", middle));
  }

  void line(const PlotLine& line, const char* colour) {
    const std::string style = fmt::format(
        "stroke=\"{}\" fill=\"none\" stroke-width=\"{}\"{}{}", colour, line.faint ? 1 : 2,
        line.faint ? " opacity=\"0.45\"" : "", line.dashed ? " stroke-dasharray=\"5 4\"" : "");
    std::string points;
    for (const auto& [px, py] : line.points) points += fmt::format("{:.1f},{:.1f} ", x(px), y(py));
    out_ += fmt::format("<polyline points=\"{}\" {}/>\n", points, style);
    for (size_t i = 0; i < line.points.size() && !line.dashed; ++i)
      out_ += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" fill=\"{}\"{}/>\n",
                          x(line.points[i].first), y(line.points[i].second),
                          i < line.radii.size() ? line.radii[i] : 3.0, colour,
                          line.faint ? " opacity=\"0.45\"" : "");
    if (line.label.empty()) return;
    const double at = kTop + 10 + 18 * legend_rows_++;
    const double left = kWidth - kRight + 12;
    out_ += fmt::format("<line x1=\"{0:.1f}\" y1=\"{2:.1f}\" x2=\"{1:.1f}\" y2=\"{2:.1f}\" {3}/>\n",
                        left, left + 20, at, style);
    text(left + 26, at + 4, "start", line.label);
  }

  const Plot& plot_;
  std::string out_;
  int legend_rows_ = 0;
};

}  // namespace

std::string xml_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (static_cast<unsigned char>(c) >= 0x20)
      out += c;
  }
  return out;
}

double mark_step(double span) {
  const double rough = std::max(span, 1e-9) / 5;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (rough <= factor * power) return factor * power;
  return 10 * power;
}

std::string svg_of(const Plot& plot) { return Drawing(plot).draw(); }

}  // namespace dspark::apps
