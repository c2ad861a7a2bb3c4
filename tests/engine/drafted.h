// What tests of drafting share: a drafter that knows the answers, requests of every kind, and what
// losslessness means for them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "draft/draft.h"
#include "engine/engine.h"

namespace dspark::engine::testing {

// Knows what plain decoding gave and drafts that, with an error now and then.
class Oracle : public draft::Drafter {
 public:
  using Answers = std::map<std::vector<int32_t>, std::vector<int32_t>>;  // prompt -> ids
  Oracle(const Answers& answers, unsigned errors_in_16)
      : answers_(answers), errors_(errors_in_16) {}
  const std::string& name() const override { return name_; }
  int slots() const override { return 15; }
  void draft(std::span<const draft::BlockRequest> requests) override;

 private:
  const Answers& answers_;
  unsigned errors_;
  std::string name_ = "oracle";
};

// Prompts that repeat themselves and each other, all settings of sampling, stops and grammars; the
// same each time.
std::vector<Request> requests_of(size_t count);

// Ids, text, finish and logprobs are those of plain decoding, and cycles add up.
void expect_same(const std::vector<Completion>& got, const std::vector<Completion>& plain,
                 const std::string& where);

}  // namespace dspark::engine::testing
