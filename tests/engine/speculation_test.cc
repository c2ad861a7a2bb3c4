// The promise of losslessness by equality: under greedy and coupled verification a request's ids,
// text and logprobs are those of plain decoding, whatever drafts, however many are verified.
#include <gtest/gtest.h>

#include <random>

#include "draft/draft.h"
#include "engine/drafted.h"
#include "engine/support.h"
#include "sanitized.h"

namespace dspark::engine {
namespace {

using testing::expect_same;
using testing::make_engine;
using testing::Oracle;
using testing::requests_of;
using testing::run_all;

// Not a number at some slots: such requests go on without drafts.
class Broken : public Oracle {
 public:
  explicit Broken(const Answers& answers) : Oracle(answers, 0) {}
  void draft(std::span<const draft::BlockRequest> requests) override {
    Oracle::draft(requests);
    for (const draft::BlockRequest& request : requests)
      if (request.tokens.size() % 3 == 0) request.out->fault = "slot 0: a value is not finite";
  }
};

struct Trial {
  Options options;
  int concurrency;
  bool toggles;  // drafting is switched off and on as the run goes
  std::string name;
};

std::vector<Completion> run_trial(const std::filesystem::path& model, const Trial& trial,
                                  const std::vector<Request>& requests) {
  const auto engine = make_engine(model, trial.options);
  if (!trial.toggles) return run_all(*engine, requests, trial.concurrency);
  std::vector<Completion> completions(requests.size());
  size_t next = 0;
  int active = 0, steps = 0;
  std::vector<RequestId> ids;
  do {
    for (; active < trial.concurrency && next < requests.size(); ++next, ++active) {
      const auto id = engine->submit(requests[next], {nullptr, [&, at = next](const Completion& c) {
                                                        completions[at] = c;
                                                        --active;
                                                      }});
      CHECK(id.ok(), "{}", id.message());
      ids.push_back(id.value());
    }
    engine->step();
    ++steps;
    for (const RequestId id : ids)
      engine->set_draft_max(id, (steps + id) % 9 < 5 ? static_cast<int>(steps % 16) : 0);
  } while (active > 0 || next < requests.size());
  const Status integrity = engine->check_integrity();
  CHECK(integrity.ok(), "{}", integrity.message());
  return completions;
}

// Trials by number: every choice meets every other in some of them.
Trial trial_of(unsigned number, const Oracle::Answers& answers) {
  std::mt19937 random(number * 2654435761u + 1);
  const auto pick = [&](auto... values) {
    const std::vector<std::common_type_t<decltype(values)...>> all{values...};
    return all[random() % all.size()];
  };
  Trial trial;
  Options& o = trial.options;
  const int drafter = static_cast<int>(number % 10);
  const std::string seed = fmt::format(" --seed {}", number % 3);
  switch (drafter) {
    case 0:
      o.make_drafter = [&answers](const draft::Place&) {
        return std::make_unique<Oracle>(answers, 0);
      };
      break;
    case 1:
      o.make_drafter = [&answers](const draft::Place&) {
        return std::make_unique<Oracle>(answers, 4);
      };
      break;
    case 2:
      o.drafter = "ngram";
      break;
    case 3:
      o.drafter =
          testing::tiny_drafter("--confidence --type q4_0 --draft-vocab 100 --block 5" + seed);
      break;
    case 4:
      o.drafter = testing::tiny_drafter("--markov gated --rank 32 --confidence --type q8_0" + seed);
      break;
    case 5:
      o.drafter = testing::tiny_drafter("--markov rnn --rank 32 --type f32 --block 15" + seed);
      break;
    case 6:
      o.drafter = testing::tiny_drafter("--markov none --masks-only --type q4_1" + seed);
      break;
    case 7:
      o.drafter = testing::tiny_drafter("--eagle3 --type q8_0 --block 4" + seed);
      break;
    case 8:
      o.drafter =
          testing::tiny_drafter("--confidence --type q4_0 --draft-vocab 100 --block 5" + seed)
              .string() +
          "+ngram";
      break;
    default:
      o.drafter =
          testing::tiny_drafter("--eagle3 --type q8_0 --block 4" + seed).string() + "+ngram";
      break;
  }
  o.isa = dspark::testing::kSanitized ? pick("auto", "avx2")
                                      : pick("auto", "auto", "auto", "avx2", "avx2", "ref");
  if (compute::kernels(o.isa) == nullptr) o.isa = "auto";
  o.threads = pick(1, 2, 3);
  trial.concurrency = pick(1, 4, 32);
  o.max_running = trial.concurrency;
  o.prefill_chunk = pick(1, 7, 64, 512);
  o.planner =
      pick(std::string("auto"), std::string("global"), std::string("causal"), std::string("lagged"),
           std::string("threshold:0.3"), fmt::format("fixed:{}", 1 + random() % 15));
  if (random() % 4 == 0) o.draft_max = static_cast<int>(1 + random() % 15);
  if (random() % 3 == 0) o.draft_candidates = pick(0, 1, 4, 16);
  // A cache that holds few requests at a time; they wait, and draft with what room is left.
  if (random() % 3 == 0) o.cache_bytes = size_t{3} << 20;
  o.prefix_bytes = pick(size_t{0}, size_t{1} << 20, size_t{64} << 20);
  trial.toggles = random() % 4 == 0;
  trial.name =
      fmt::format("trial {}: {} {} {} threads, {} at a time, chunk {}, {}{}", number,
                  o.drafter.empty() ? "oracle" : o.drafter, o.isa, o.threads, trial.concurrency,
                  o.prefill_chunk, o.planner, trial.toggles ? ", on and off" : "");
  return trial;
}

TEST(Speculation, TextIsThatOfPlainDecoding) {
  const auto model = testing::tiny_model();
  const std::vector<Request> requests = requests_of(testing::nightly()            ? 48
                                                    : dspark::testing::kSanitized ? 10
                                                                                  : 24);
  Options plain_options;
  plain_options.max_running = 32;
  const auto plain = run_all(*make_engine(model, plain_options), requests, 32);
  Oracle::Answers answers;
  for (size_t i = 0; i < requests.size(); ++i) answers[requests[i].prompt_ids] = plain[i].ids;
  const unsigned trials = testing::nightly() ? 224 : dspark::testing::kSanitized ? 8 : 24;
  int64_t cycles = 0, drafted = 0, accepted = 0, cached = 0, preemptions = 0;
  for (unsigned number = 0; number < trials; ++number) {
    const Trial trial = trial_of(number, answers);
    const auto got = run_trial(model, trial, requests);
    expect_same(got, plain, trial.name);
    if (::testing::Test::HasFailure()) break;
    for (const Completion& c : got) {
      for (const Cycle& cycle : c.cycles)
        ++cycles, drafted += cycle.drafted, accepted += cycle.accepted;
      cached += c.cached_rows, preemptions += c.preemptions;
    }
  }
  fmt::print(
      "{} request-generations, {} cycles, {} drafts of which {} accepted, {} rows taken over, {} "
      "preemptions\n",
      trials * requests.size(), cycles, drafted, accepted, cached, preemptions);
  // Else the trials would show little.
  EXPECT_GT(accepted, cycles / 4);
  EXPECT_GT(cached, 0);  // preemptions are forced in prefix_test
}

TEST(Speculation, AnOracleIsAcceptedWhole) {
  const auto model = testing::tiny_model();
  std::vector<Request> requests = requests_of(8);
  for (Request& r : requests)
    r.max_tokens = 33, r.ignore_eos = true, r.stop.clear(), r.grammar.reset();
  const auto plain = run_all(*make_engine(model, {}), requests, 8);
  Oracle::Answers answers;
  for (size_t i = 0; i < requests.size(); ++i) answers[requests[i].prompt_ids] = plain[i].ids;
  Options options;
  options.planner = "fixed:15";
  options.make_drafter = [&](const draft::Place&) { return std::make_unique<Oracle>(answers, 0); };
  for (const Completion& c : run_all(*make_engine(model, options), requests, 8)) {
    ASSERT_EQ(c.cycles.size(), 2u);  // 1 + 16 + 16 tokens
    EXPECT_EQ(c.cycles[0].accepted, 15);
    EXPECT_EQ(c.cycles[1].accepted, 15);
  }
}

TEST(Speculation, ABrokenDrafterCostsNothingButItsDrafts) {
  const auto model = testing::tiny_model();
  const std::vector<Request> requests = requests_of(24);
  const auto plain = run_all(*make_engine(model, {}), requests, 8);
  Oracle::Answers answers;
  for (size_t i = 0; i < requests.size(); ++i) answers[requests[i].prompt_ids] = plain[i].ids;
  Options options;
  options.planner = "fixed:3";
  options.make_drafter = [&](const draft::Place&) { return std::make_unique<Broken>(answers); };
  set_log_level(LogLevel::kError);
  expect_same(run_all(*make_engine(model, options), requests, 8), plain, "broken drafter");
  set_log_level(LogLevel::kInfo);
}

// Stops that come as accepted drafts, of the model's own making.
TEST(Speculation, AnAcceptedStopEndsTheDefaultModelsAnswer) {
  const auto model = testing::default_model();
  if (model.empty()) GTEST_SKIP() << "the default model is not installed";
  if (dspark::testing::kSanitized) GTEST_SKIP() << "too slow under a sanitizer";
  const auto engine = make_engine(model, {});
  std::vector<Request> requests;
  for (const char* text : {"Say yes.", "What is the capital of France?", "Name a colour."}) {
    Request request;
    request.prompt_ids = engine->tokenizer().encode(
        fmt::format("<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n", text),
        tokenizer::Tokenizer::Specials::kParse);
    request.max_tokens = 100;
    requests.push_back(request);
  }
  const auto plain = run_all(*engine, requests, 3);
  Oracle::Answers answers;
  int stops = 0, ended = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    answers[requests[i].prompt_ids] = plain[i].ids;
    stops += plain[i].finish == Finish::kStop;
  }
  EXPECT_GT(stops, 0);
  Options options;
  options.planner = "full";
  options.make_drafter = [&](const draft::Place&) { return std::make_unique<Oracle>(answers, 0); };
  const auto drafted = run_all(*make_engine(model, options), requests, 3);
  expect_same(drafted, plain, "default model");
  for (const Completion& c : drafted) ended += c.cycles.back().ended;
  EXPECT_GT(ended, 0);
}

TEST(Speculation, GreedyVerificationRefusesTemperature) {
  Options options;
  options.verify = verify::Mode::kGreedy;
  const auto engine = make_engine(testing::tiny_model(), options);
  Request request;
  request.prompt_ids = {1};
  request.sampling.temperature = 1;
  EXPECT_FALSE(engine->submit(request, {}).ok());
}

TEST(Speculation, RejectionAndBlockGiveTheSameTextForTheSameSeed) {
  const auto model = testing::tiny_model();
  std::vector<Request> requests = requests_of(16);
  for (Request& r : requests) r.logprobs = 0;
  const std::string drafter = testing::tiny_drafter("--confidence --type q8_0").string();
  for (const auto& [mode, name] : {std::pair(verify::Mode::kRejection, drafter),
                                   std::pair(verify::Mode::kRejection, drafter + "+ngram"),
                                   std::pair(verify::Mode::kBlock, drafter)}) {
    std::vector<Completion> first;
    for (const int concurrency : {1, 16}) {
      Options options;
      options.drafter = name;
      options.verify = mode;
      options.planner = "fixed:4";
      options.max_running = concurrency;
      const auto got = run_all(*make_engine(model, options), requests, concurrency);
      if (first.empty())
        first = got;
      else
        expect_same(got, first, "rejection");
    }
  }
}

}  // namespace
}  // namespace dspark::engine
