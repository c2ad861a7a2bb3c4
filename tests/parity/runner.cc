#include "parity/runner.h"

#include <algorithm>

namespace dspark::parity {
namespace {
constexpr int kRows = 64;
constexpr int64_t kContext = 2048;
}  // namespace

Runner::Runner(std::unique_ptr<model::Model> model, const compute::Kernels* kernels)
    : model_(std::move(model)), kernels_(kernels) {
  const model::Spec& s = model_->spec;
  const int64_t context = std::min<int64_t>(kContext, s.context);
  pages_ = std::make_unique<kv::PagePool>(kv::Shape(model_->cache_layers()),
                                          context / kv::kPositions + 1);
  forward_ = std::make_unique<model::Forward>(*model_, *kernels_, pool_, *pages_,
                                              model::Limits{kRows, kRows, context});
}

Result<std::unique_ptr<Runner>> Runner::open(const std::filesystem::path& path,
                                             const std::string& isa,
                                             std::optional<DType> quantise) {
  const compute::Kernels* kernels = compute::kernels(isa);
  if (kernels == nullptr) return fail("no instruction set {}", isa);
  ThreadPool pool(kThreads);
  DSPARK_TRY(auto model, model::load_model(path, {quantise, {}}, pool));
  return std::unique_ptr<Runner>(new Runner(std::move(model), kernels));
}

Runner::Output Runner::run(const std::vector<int32_t>& ids, const std::vector<int>& tap_layers,
                           bool all_logits, int chunk) {
  const int64_t n = static_cast<int64_t>(ids.size()), vocab = model_->spec.vocab;
  const int64_t tap_width = static_cast<int64_t>(tap_layers.size()) * model_->spec.hidden;
  Output out;
  out.taps.resize(static_cast<size_t>(n * tap_width));
  kv::Sequence sequence(*pages_);
  CHECK(sequence.reserve(n));
  for (int64_t at = 0; at < n; at += chunk) {
    const int64_t rows = std::min<int64_t>(chunk, n - at);
    std::vector<int32_t> wanted;
    for (int64_t r = 0; r < rows; ++r)
      if (all_logits || at + r + 1 == n) wanted.push_back(static_cast<int32_t>(r));
    const model::Segment segment{&sequence, 0, static_cast<int>(rows), at};
    forward_->run({std::span(ids).subspan(static_cast<size_t>(at), static_cast<size_t>(rows)),
                   {&segment, 1},
                   wanted,
                   tap_layers,
                   out.taps.data() + at * tap_width});
    sequence.extend(rows);
    for (size_t i = 0; i < wanted.size(); ++i) {
      const auto logits = forward_->logits(static_cast<int>(i));
      out.logits.insert(out.logits.end(), logits.begin(), logits.begin() + vocab);
    }
  }
  return out;
}

std::vector<int32_t> Runner::greedy(const std::vector<int32_t>& prompt, int tokens,
                                    std::optional<int32_t> stop) {
  kv::Sequence sequence(*pages_);
  CHECK(sequence.reserve(static_cast<int64_t>(prompt.size()) + tokens));
  std::vector<int32_t> rows = prompt, made;
  while (static_cast<int>(made.size()) < tokens) {
    for (size_t at = 0; at < rows.size(); at += kRows) {
      const std::span<const int32_t> chunk =
          std::span(rows).subspan(at, std::min<size_t>(kRows, rows.size() - at));
      const auto count = static_cast<int>(chunk.size());
      const int32_t last = count - 1;
      const model::Segment segment{&sequence, 0, count, sequence.length()};
      forward_->run({chunk, {&segment, 1}, {&last, 1}, {}, nullptr});
      sequence.extend(count);
    }
    made.push_back(index_of_largest(forward_->logits(0).data(), model_->spec.vocab));
    if (stop == made.back()) break;
    rows = {made.back()};
  }
  return made;
}

int32_t index_of_largest(const float* values, int64_t n) {
  return static_cast<int32_t>(std::max_element(values, values + n) - values);
}

}  // namespace dspark::parity
