#include "verify/metrics.h"

#include <algorithm>

namespace dspark::verify {
namespace {

void count_beyond(int n, std::vector<int64_t>& counts) {
  if (counts.size() < static_cast<size_t>(n)) counts.resize(static_cast<size_t>(n), 0);
  for (size_t k = 0; k < static_cast<size_t>(n); ++k) ++counts[k];
}

int64_t at(const std::vector<int64_t>& counts, int k) {
  return static_cast<size_t>(k) < counts.size() ? counts[static_cast<size_t>(k)] : 0;
}

double ratio(int64_t a, int64_t b) {
  return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b);
}

}  // namespace

void AcceptanceMetrics::add(int verified, const Verdict& verdict) {
  const bool ended = verdict.next < 0;
  add(verdict.accepted + (ended ? 0 : 1), ended ? verdict.accepted : verified, verdict.accepted);
}

void AcceptanceMetrics::add(int committed, int proposed, int accepted) {
  CHECK(accepted >= 0 && accepted <= proposed, "{} accepted of {}", accepted, proposed);
  ++cycles_;
  committed_ += committed;
  proposed_ += proposed;
  count_beyond(proposed, proposed_beyond_);
  count_beyond(accepted, accepted_beyond_);
  count_beyond(std::min(accepted + 1, proposed), reached_);
}

double AcceptanceMetrics::accept_length() const { return ratio(committed_, cycles_); }
double AcceptanceMetrics::proposed_length() const { return ratio(proposed_, cycles_); }
double AcceptanceMetrics::verify_rate() const { return ratio(committed_, proposed_ + cycles_); }

std::optional<double> AcceptanceMetrics::accept_rate(int k) const {
  if (at(proposed_beyond_, k) == 0) return std::nullopt;
  return ratio(at(accepted_beyond_, k), at(proposed_beyond_, k));
}

std::optional<double> AcceptanceMetrics::conditional_rate(int k) const {
  if (at(reached_, k) == 0) return std::nullopt;
  return ratio(at(accepted_beyond_, k), at(reached_, k));
}

}  // namespace dspark::verify
