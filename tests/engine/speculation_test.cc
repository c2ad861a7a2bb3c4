// The promise of losslessness by equality: under greedy and coupled verification a request's ids,
// text and logprobs are those of plain decoding, whatever drafts, however many are verified.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "draft/draft.h"
#include "engine/support.h"
#include "sanitized.h"

namespace dspark::engine {
namespace {

using testing::make_engine;
using testing::run_all;

// Knows what plain decoding gave and drafts that, with an error now and then.
class Oracle : public draft::Drafter {
 public:
  using Answers = std::map<std::vector<int32_t>, std::vector<int32_t>>;  // prompt -> ids
  Oracle(const Answers& answers, unsigned errors_in_16)
      : answers_(answers), errors_(errors_in_16) {}
  const std::string& name() const override { return name_; }
  int slots() const override { return 15; }
  void draft(std::span<const draft::BlockRequest> requests) override {
    for (const draft::BlockRequest& request : requests) {
      request.out->clear();
      const std::vector<int32_t> tokens(request.tokens.begin(), request.tokens.end());
      for (const auto& [prompt, ids] : answers_) {
        const size_t n = prompt.size();
        if (n >= tokens.size() || !std::equal(prompt.begin(), prompt.end(), tokens.begin()))
          continue;
        const size_t made = tokens.size() - n;
        if (made > ids.size() || !std::equal(ids.begin(), ids.begin() + static_cast<long>(made),
                                             tokens.begin() + static_cast<long>(n)))
          continue;
        for (size_t i = made; i < ids.size() && static_cast<int>(i - made) < request.slots; ++i) {
          const bool wrong = (tokens.size() * 31 + i * 7) % 16 < errors_;
          request.out->ids.push_back(wrong ? (ids[i] + 1) % 256 : ids[i]);
        }
        break;
      }
    }
  }

 private:
  const Answers& answers_;
  unsigned errors_;
  std::string name_ = "oracle";
};

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

Request varied(size_t index, std::mt19937& random) {
  Request request;
  request.prompt_ids.resize(1 + random() % 100);
  // Few distinct tokens, so that look-up finds something.
  for (int32_t& id : request.prompt_ids) id = static_cast<int32_t>(random() % 12);
  if (index % 4 == 2) {  // begins as others do
    std::vector<int32_t> alike(random() % 140);
    for (size_t i = 0; i < alike.size(); ++i) alike[i] = static_cast<int32_t>(i * i % 11);
    request.prompt_ids.insert(request.prompt_ids.begin(), alike.begin(), alike.end());
  }
  request.max_tokens = 1 + static_cast<int>(random() % 40);
  request.ignore_eos = index % 3 != 0;
  sample::Params& s = request.sampling;
  if (index % 2 == 1) {
    s.temperature = index % 4 == 1 ? 0.3f : 1.0f;
    s.seed = 77 + index;
    if (index % 8 == 3) s.top_p = 0.9f;
    if (index % 8 == 5) s.top_k = 20;
    if (index % 8 == 7) s.min_p = 0.05f;
  }
  if (index % 5 == 1) s.repeat_penalty = 1.2f;
  if (index % 5 == 2) s.presence_penalty = 0.7f, s.frequency_penalty = 0.3f;
  if (index % 5 == 3) s.logit_bias = {{7, 3.0f}, {9, -2.0f}, {300, 4.0f}};
  if (index % 7 == 0) request.logprobs = 3;
  if (index % 6 == 4) request.stop = {"a", "zz"};
  if (index % 6 == 2 || index % 6 == 5) {
    static const auto kWords =
        grammar::Grammar::from_gbnf("root ::= ([a-c] [0-9]? \" \"?){5,30}", "words").take();
    request.ignore_eos = false;
    request.grammar = index % 4 < 2 ? grammar::Grammar::any_json_object() : kWords;
  }
  return request;
}

std::vector<Request> requests_of(size_t count) {
  std::mt19937 random(11);
  std::vector<Request> requests;
  for (size_t i = 0; i < count; ++i) requests.push_back(varied(i, random));
  return requests;
}

bool same(const std::vector<std::vector<sample::TokenLogprob>>& a,
          const std::vector<std::vector<sample::TokenLogprob>>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const auto& p, const auto& q) {
      return p.id == q.id && p.logprob == q.logprob;
    });
  });
}

void expect_same(const std::vector<Completion>& got, const std::vector<Completion>& plain,
                 const std::string& where) {
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_EQ(got[i].ids, plain[i].ids) << where << ": request " << i;
    EXPECT_EQ(got[i].text, plain[i].text) << where << ": request " << i;
    EXPECT_EQ(got[i].finish, plain[i].finish) << where << ": request " << i;
    EXPECT_TRUE(same(got[i].logprobs, plain[i].logprobs)) << where << ": request " << i;
    int committed = 1;
    for (const Cycle& c : got[i].cycles) {
      EXPECT_LE(c.accepted, c.verified);
      EXPECT_LE(c.verified, c.drafted);
      committed += c.accepted + 1;
    }
    // A stop inside the last cycle cuts it.
    EXPECT_GE(committed, static_cast<int>(got[i].ids.size())) << where << ": request " << i;
  }
}

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

// One that knows nothing is asked now and then, one that knows all at every cycle.
TEST(Speculation, DraftingRestsWhereItDoesNotPay) {
  const auto model = testing::tiny_model();
  std::vector<Request> requests = requests_of(4);
  for (Request& r : requests)
    r.max_tokens = dspark::testing::kSanitized ? 120 : 300, r.ignore_eos = true, r.stop.clear(),
    r.grammar.reset();
  const auto plain = run_all(*make_engine(model, {}), requests, 2);
  const auto share = [&](const Options& options) {
    double drafted = 0, cycles = 0;
    for (const Completion& c : run_all(*make_engine(model, options), requests, 2))
      for (const Cycle& cycle : c.cycles) drafted += cycle.drafted > 0, cycles += 1;
    return drafted / cycles;
  };
  Options options;
  options.drafter = testing::tiny_drafter("--confidence --type q8_0 --block 5 --seed 4");
  EXPECT_LT(share(options), dspark::testing::kSanitized ? 0.5 : 0.3);
  options.planner = "fixed:2";      // not asked to judge
  EXPECT_GT(share(options), 0.98);  // but where one token is left
  Oracle::Answers answers;
  for (size_t i = 0; i < requests.size(); ++i) answers[requests[i].prompt_ids] = plain[i].ids;
  options = {};
  options.make_drafter = [&](const draft::Place&) { return std::make_unique<Oracle>(answers, 0); };
  EXPECT_GT(share(options), 0.9);
}

// A request that gains nothing by the drafter's drafts still has what repeats looked up.
TEST(Speculation, WhatRepeatsIsLookedUpWhileDraftingRests) {
  const auto model = testing::tiny_model();
  std::vector<Request> requests = requests_of(4);
  for (Request& r : requests)
    r.max_tokens = dspark::testing::kSanitized ? 120 : 300, r.ignore_eos = true, r.stop.clear(),
    r.grammar.reset(), r.sampling = {};
  const auto plain = run_all(*make_engine(model, {}), requests, 2);
  Options options;
  options.drafter =
      testing::tiny_drafter("--confidence --type q8_0 --block 5 --seed 4").string() + "+ngram";
  const auto drafted = run_all(*make_engine(model, options), requests, 2);
  expect_same(drafted, plain, "with look-up");
  int computed = 0, looked_up = 0, accepted = 0, cycles = 0;
  for (const Completion& c : drafted)
    for (const Cycle& cycle : c.cycles) {
      ++cycles;
      looked_up += cycle.looked_up;
      computed += cycle.drafted > 0 && !cycle.looked_up;
      if (cycle.looked_up) accepted += cycle.accepted;
    }
  EXPECT_LT(computed, cycles / (dspark::testing::kSanitized ? 2 : 3));
  EXPECT_GT(looked_up, cycles / 3);  // a tiny model repeats itself
  EXPECT_GT(accepted, looked_up);
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
