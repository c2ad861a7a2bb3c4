// The suites of the command bench. Each gives a table for people and rows for JSON (docs/json.md).
#pragma once

#include <string>
#include <vector>

#include "apps/json_lines.h"
#include "engine/engine.h"

namespace dspark::apps {

struct BenchResult {
  Json rows = Json::array();  // objects; "suite" comes first in each
  std::string table;
};

Result<BenchResult> bench_decode(engine::Engine& engine);
// Steps of one row, and of these numbers of rows.
Result<BenchResult> bench_width(engine::Engine& engine, const std::vector<int>& more_rows);
Result<BenchResult> bench_long(engine::Engine& engine);
Result<BenchResult> bench_draft(engine::Engine& engine);

// Most requests that a suite runs at the same time.
inline constexpr int kMaxBenchRequests = 32;

// A request over random token ids that generates max_tokens, end tokens or not. The same number
// gives the same prompt.
engine::Request bench_request(const engine::Info& info, int prompt_tokens, int max_tokens,
                              int number);

// Runs the requests together; their completions in order, or what went wrong.
Result<std::vector<engine::Completion>> bench_run(engine::Engine& engine,
                                                  std::vector<engine::Request> requests);

std::string cpu_name();
// Where figures come from, for JSON.
Json machine_json(const engine::Info& info);
Json model_json(const engine::Info& info);

double median(std::vector<double> values);  // of at least one

}  // namespace dspark::apps
