#include "embed/result.h"

namespace dspark::embed {
namespace {

dspark_finish finish_of(engine::Finish finish) {
  switch (finish) {
    case engine::Finish::kStop:
      return DSPARK_FINISH_STOP;
    case engine::Finish::kLength:
      return DSPARK_FINISH_LENGTH;
    case engine::Finish::kCancelled:
      return DSPARK_FINISH_CANCELLED;
    case engine::Finish::kError:
      break;
  }
  return DSPARK_FINISH_ERROR;
}

}  // namespace

OwnedResult::OwnedResult(engine::Completion done, size_t prompt_count)
    : dspark_result{}, completion(std::move(done)) {
  struct_size = sizeof(dspark_result);
  finish = finish_of(completion.finish);
  error = completion.error.c_str();
  ids = completion.ids.data();
  id_count = completion.ids.size();
  text = completion.text.c_str();
  text_bytes = completion.text.size();
  list.reserve(completion.cycles.size());
  for (const engine::Cycle& cycle : completion.cycles) {
    list.push_back({cycle.drafted, cycle.verified, cycle.accepted});
    drafted += cycle.drafted, verified += cycle.verified, accepted += cycle.accepted;
  }
  cycles = list.data();
  cycle_count = list.size();
  prompt_tokens = static_cast<int64_t>(prompt_count);
  cached_tokens = completion.cached_rows;
  prefill_ms = completion.prefill_ms;
  decode_ms = completion.decode_ms;
}

dspark_delta delta_of(const engine::Delta& delta) {
  return {sizeof(dspark_delta), delta.ids.data(), delta.ids.size(), delta.text.c_str(),
          delta.text.size()};
}

}  // namespace dspark::embed
