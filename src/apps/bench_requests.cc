#include <algorithm>
#include <random>

#include "apps/bench.h"

namespace dspark::apps {

engine::Request bench_request(const engine::Info& info, int prompt_tokens, int max_tokens,
                              int number) {
  engine::Request request;
  std::mt19937_64 random(static_cast<uint64_t>(number) * 7919 + 1);
  const auto vocab = static_cast<uint64_t>(info.vocab);
  for (int i = 0; i < prompt_tokens;
       ++i)  // the upper half: control tokens are few and mostly below
    request.prompt_ids.push_back(static_cast<int32_t>(vocab / 2 + random() % (vocab - vocab / 2)));
  request.max_tokens = max_tokens;
  request.ignore_eos = true;
  return request;
}

Result<std::vector<engine::Completion>> bench_run(engine::Engine& engine,
                                                  std::vector<engine::Request> requests) {
  std::vector<engine::Completion> completions(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    engine::Callbacks callbacks;
    callbacks.on_finished = [&completions, i](const engine::Completion& done) {
      completions[i] = done;
    };
    DSPARK_TRY([[maybe_unused]] const auto id,
               engine.submit(std::move(requests[i]), std::move(callbacks)));
  }
  while (engine.step()) {
  }
  for (const auto& completion : completions)
    if (completion.finish == engine::Finish::kError) return fail("{}", completion.error);
  return completions;
}

double median(std::vector<double> values) {
  CHECK(!values.empty());
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

}  // namespace dspark::apps
