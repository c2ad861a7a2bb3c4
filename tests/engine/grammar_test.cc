// Answers under a grammar: they are its texts, with drafts as without, and under rejection and
// block verification they come as often.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "draft/draft.h"
#include "engine/support.h"

namespace dspark::engine {
namespace {

using grammar::Grammar;
using testing::make_engine;
using testing::run_all;

std::shared_ptr<const Grammar> gbnf(const char* text) {
  return Grammar::from_gbnf(text, "test").take();
}

// Drafts one of a to d with equal chances, though the grammar allows only some of them.
class Blind : public draft::Drafter {
 public:
  const std::string& name() const override { return name_; }
  int slots() const override { return 3; }
  void draft(std::span<const draft::BlockRequest> requests) override {
    for (const draft::BlockRequest& request : requests) {
      draft::Block& out = *request.out;
      out.clear();
      out.distributions.resize(3);
      for (int slot = 0; slot < request.slots; ++slot) {
        draft::Distribution& q = out.distributions[static_cast<size_t>(slot)];
        q.ids = letters_;
        q.probs.assign(letters_.size(), 0.25f);
        const double variate = sample::uniform(request.sampler->params().seed, request.anchor(),
                                               slot, sample::Purpose::kDraft);
        out.ids.push_back(letters_[static_cast<size_t>(sample::draw(q.probs, variate))]);
      }
    }
  }
  std::vector<int32_t> letters_;

 private:
  std::string name_ = "blind";
};

std::vector<int32_t> letters() {
  const auto tokenizer = tokenizer::Tokenizer::open(testing::tiny_model()).take();
  std::vector<int32_t> ids;
  for (const char* letter : {"a", "b", "c", "d"}) ids.push_back(*tokenizer.find(letter));
  return ids;
}

Options blind_options(verify::Mode mode) {
  Options options;
  options.make_drafter = [](const draft::Place&) {
    auto blind = std::make_unique<Blind>();
    blind->letters_ = letters();
    return blind;
  };
  options.verify = mode;
  options.planner = "fixed:3";
  return options;
}

TEST(Grammar, AnswersAreTextsOfTheSchema) {
  const auto schema = Grammar::from_json_schema(nlohmann::ordered_json::parse(R"({
    "type": "object",
    "properties": {"n": {"type": "integer"}, "word": {"enum": ["red", "green", "blue"]},
                   "list": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3}},
    "required": ["n", "word"]})"));
  ASSERT_TRUE(schema.ok()) << schema.message();
  std::vector<Request> requests(6);
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].prompt_ids = {static_cast<int32_t>(i), 7, 9};
    requests[i].max_tokens = 400;
    requests[i].sampling.temperature = static_cast<float>(i % 3);
    requests[i].sampling.seed = i;
    requests[i].grammar = schema.value();
  }
  int accepted = 0;
  const std::filesystem::path blocks = testing::tiny_drafter("--confidence --type q8_0"),
                              chain = testing::tiny_drafter("--eagle3 --type q8_0 --block 4");
  const std::pair<verify::Mode, std::filesystem::path> kRuns[] = {
      {verify::Mode::kCoupled, blocks},
      {verify::Mode::kCoupled, chain},
      {verify::Mode::kRejection, "ngram"},
      {verify::Mode::kBlock, blocks}};
  for (const auto& [mode, drafter] : kRuns) {
    Options options;
    options.drafter = drafter.string();
    options.verify = mode;
    options.planner = "fixed:4";
    const auto engine = make_engine(testing::tiny_model(), options);
    const auto& stops = engine->tokenizer().stop_ids();
    for (const Completion& c : run_all(*engine, requests, 5)) {
      EXPECT_EQ(c.finish, Finish::kStop) << c.error << c.text;
      EXPECT_TRUE(std::binary_search(stops.begin(), stops.end(), c.ids.back()));
      const auto value = nlohmann::json::parse(c.text, nullptr, false);
      ASSERT_TRUE(value.is_object()) << c.text;
      EXPECT_TRUE(value["n"].is_number_integer()) << c.text;
      EXPECT_TRUE(value["word"] == "red" || value["word"] == "green" || value["word"] == "blue");
      for (const Cycle& cycle : c.cycles) accepted += cycle.accepted;
    }
  }
  EXPECT_GT(accepted, 60);  // drafts are made under the grammar, too
}

TEST(Grammar, LogprobsAreOfAllowedTokens) {
  Request request;
  request.prompt_ids = {1, 2, 3};
  request.grammar = gbnf("root ::= [ab]{4}");
  request.logprobs = 5;
  const auto done = run_all(*make_engine(testing::tiny_model(), {}), {request}, 1);
  const std::vector<int32_t> ab = letters();
  ASSERT_EQ(done[0].logprobs.size(), 5u) << done[0].error;
  for (size_t i = 0; i < 4; ++i) {
    double total = 0;
    for (size_t k = 1; k < done[0].logprobs[i].size(); ++k) {
      const auto [id, logprob] = done[0].logprobs[i][k];
      EXPECT_TRUE(id == ab[0] || id == ab[1]) << id;
      total += std::exp(static_cast<double>(logprob));
    }
    EXPECT_NEAR(total, 1, 1e-5);
  }
}

// Under them an answer's text is not that of plain decoding, but it comes as often.
TEST(Grammar, RejectionAndBlockKeepTheDistribution) {
  constexpr int kAnswers = 1200;
  std::vector<Request> requests(kAnswers);
  const auto grammar = gbnf("root ::= [ab] [bcd] [ab] [cd]?");
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].prompt_ids = {5, 6, 7};
    requests[i].max_tokens = 4;
    requests[i].grammar = grammar;
    requests[i].sampling.temperature = 1;
    requests[i].sampling.seed = i;
  }
  const auto counts = [&](const Options& options, uint64_t seeds_from) {
    for (size_t i = 0; i < requests.size(); ++i) requests[i].sampling.seed = seeds_from + i;
    std::map<std::string, double> seen;
    for (const Completion& c :
         run_all(*make_engine(testing::tiny_model(), options), requests, 64)) {
      EXPECT_NE(c.finish, Finish::kError) << c.error;
      ++seen[c.text];
    }
    return seen;
  };
  const auto plain = counts({}, 0);
  Options drafted;
  drafted.drafter = testing::tiny_drafter("--markov gated --rank 32 --confidence --type q8_0");
  drafted.planner = "fixed:3";
  for (const verify::Mode mode : {verify::Mode::kRejection, verify::Mode::kBlock}) {
    drafted.verify = mode;
    for (const Options& options : {blind_options(mode), drafted}) {
      auto other = counts(options, 1'000'000);
      double statistic = 0, outcomes = 0;
      for (const auto& [text, count] : plain) {
        const double both = count + other[text];
        if (both < 20) continue;
        statistic += (count - other[text]) * (count - other[text]) / both;
        ++outcomes;
      }
      ASSERT_GT(outcomes, 5);
      // Of chi squared with so many degrees of freedom: mean and six deviations.
      EXPECT_LT(statistic, outcomes + 6 * std::sqrt(2 * outcomes)) << verify::mode_name(mode);
    }
  }
}

TEST(Grammar, IsRefusedWhereItCouldNotEnd) {
  Request request;
  request.prompt_ids = {1};
  request.grammar = Grammar::any_json_object();
  request.ignore_eos = true;
  const auto engine = make_engine(testing::tiny_model(), {});
  const auto submitted = engine->submit(request, {});
  ASSERT_FALSE(submitted.ok());
  EXPECT_NE(submitted.message().find("ignore_eos"), std::string::npos);
}

}  // namespace
}  // namespace dspark::engine
