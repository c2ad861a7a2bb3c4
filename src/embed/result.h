// From what became of a request to what the host is told.
#pragma once

#include <vector>

#include "dspark/dspark.h"
#include "engine/engine.h"

namespace dspark::embed {

// A result with what it points to.
struct OwnedResult : dspark_result {
  OwnedResult(engine::Completion done, size_t prompt_count);
  OwnedResult(const OwnedResult&) = delete;
  OwnedResult& operator=(const OwnedResult&) = delete;

  engine::Completion completion;
  std::vector<dspark_cycle> list;
};

dspark_delta delta_of(const engine::Delta& delta);  // lives as long as its argument

}  // namespace dspark::embed
