// bench --suite decode: tokens a second alone, with others, and of prompts.
#include <chrono>

#include "apps/bench.h"

namespace dspark::apps {
namespace {

constexpr int kPromptTokens = 32;
constexpr int kTokens = 96;
constexpr int kAloneRepeats = 5;
constexpr int kTogetherRepeats = 3;
constexpr int kPrefillRepeats = 5;
constexpr int kMatrixRows = 16;  // where the integer rate is at its best

Status add_alone(engine::Engine& engine, BenchResult& result) {
  std::vector<double> rates;
  for (int i = 0; i <= kAloneRepeats; ++i) {
    DSPARK_TRY(const auto done,
               bench_run(engine, {bench_request(engine.info(), kPromptTokens, kTokens, i)}));
    if (i > 0) rates.push_back(done[0].tok_per_s);  // the first warms up
  }
  const double rate = median(rates);
  result.rows.push_back({{"suite", "decode"},
                         {"case", "alone"},
                         {"prompt_tokens", kPromptTokens},
                         {"tokens", kTokens},
                         {"tok_per_s", rate},
                         {"ms_per_token", 1e3 / rate}});
  result.table +=
      fmt::format("decode alone           {:9.1f} tok/s {:9.3f} ms a token\n", rate, 1e3 / rate);
  return {};
}

Status add_together(engine::Engine& engine, int concurrency, BenchResult& result) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> rates;
  for (int repeat = 0; repeat < kTogetherRepeats; ++repeat) {
    std::vector<engine::Request> requests;
    for (int i = 0; i < concurrency; ++i)
      requests.push_back(bench_request(engine.info(), kPromptTokens, kTokens, i));
    const auto start = Clock::now();
    DSPARK_TRY(const auto done, bench_run(engine, std::move(requests)));
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    size_t tokens = 0;
    for (const auto& completion : done) tokens += completion.ids.size();
    rates.push_back(static_cast<double>(tokens) / seconds);
  }
  const double rate = median(rates);
  result.rows.push_back({{"suite", "decode"},
                         {"case", "concurrent"},
                         {"concurrency", concurrency},
                         {"prompt_tokens", kPromptTokens},
                         {"tokens", kTokens},
                         {"total_tok_per_s", rate}});
  result.table += fmt::format("{:2} at a time, prefill in {:8.1f} tok/s\n", concurrency, rate);
  return {};
}

Status add_prefill(engine::Engine& engine, int tokens, double matrix_rows_per_s,
                   BenchResult& result) {
  if (tokens + 1 > engine.info().context) return {};
  std::vector<double> times_ms;
  for (int i = 0; i < kPrefillRepeats; ++i) {
    DSPARK_TRY(const auto done, bench_run(engine, {bench_request(engine.info(), tokens, 1, i)}));
    times_ms.push_back(done[0].prefill_ms);
  }
  const double ms = median(times_ms);
  const double rate = tokens / ms * 1e3;
  // Operations a second against those of all matrices at 16 rows: a prompt needs the head for one
  // row only.
  const engine::Info& info = engine.info();
  const double all = static_cast<double>(info.layer_weights + info.head_weights);
  const double share =
      (tokens * static_cast<double>(info.layer_weights) + static_cast<double>(info.head_weights)) /
      (tokens * all) * rate / matrix_rows_per_s;
  result.rows.push_back({{"suite", "decode"},
                         {"case", "prefill"},
                         {"prompt_tokens", tokens},
                         {"prefill_ms", ms},
                         {"prefill_tok_per_s", rate},
                         {"share_of_integer_rate_at_16_rows", share}});
  result.table += fmt::format(
      "prefill of {:4}        {:9.1f} tok/s {:9.1f} ms ({:.0f} % of the integer rate "
      "at 16 rows)\n",
      tokens, rate, ms, share * 100);
  return {};
}

}  // namespace

Result<BenchResult> bench_decode(engine::Engine& engine) {
  BenchResult result;
  DSPARK_RETURN_IF_ERROR(add_alone(engine, result));
  for (const int concurrency : {1, 2, 4, 8, 16, 32})
    DSPARK_RETURN_IF_ERROR(add_together(engine, concurrency, result));
  const double matrix_rows_per_s = kMatrixRows / engine.time_matrices_ms(kMatrixRows, 10) * 1e3;
  for (const int tokens : {128, 512})
    DSPARK_RETURN_IF_ERROR(add_prefill(engine, tokens, matrix_rows_per_s, result));
  return result;
}

}  // namespace dspark::apps
