// The promise of exactness: a request's ids do not depend on instruction set, threads, neighbours,
// order of arrival or prefill chunks. Equality, never tolerance.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "engine/support.h"
#include "model/model.h"
#include "sanitized.h"

namespace dspark::engine {
namespace {

using testing::default_model;
using testing::make_engine;
using testing::run_all;

struct Setting {
  std::string isa;
  int threads, concurrency, chunk;
  bool shuffled;
  std::optional<DType> quantise = {};
};

std::string name_of(const Setting& s) {
  return fmt::format("{} {} threads, {} at a time, chunk {}{}", s.isa, s.threads, s.concurrency,
                     s.chunk, s.shuffled ? ", shuffled" : "");
}

std::vector<std::vector<int32_t>> ids_with(const std::filesystem::path& model, const Setting& s,
                                           const std::vector<Request>& requests) {
  Options options;
  options.isa = s.isa;
  options.threads = s.threads;
  options.max_running = s.concurrency;
  options.prefill_chunk = s.chunk;
  options.quantise = s.quantise;
  const auto engine = make_engine(model, options);
  std::vector<size_t> order(requests.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  if (s.shuffled)
    std::shuffle(order.begin(), order.end(), std::mt19937(static_cast<unsigned>(s.chunk)));
  std::vector<std::vector<int32_t>> ids;
  for (const Completion& c : run_all(*engine, requests, s.concurrency, order)) {
    EXPECT_EQ(c.error, "");
    ids.push_back(c.ids);
  }
  return ids;
}

// Even requests greedy, odd ones sampled with a seed of their own.
Request request_of(size_t index, std::vector<int32_t> prompt, int tokens) {
  Request request;
  request.prompt_ids = std::move(prompt);
  request.max_tokens = tokens;
  if (index % 2 == 1) {
    request.sampling.temperature = 0.8f;
    request.sampling.seed = 1000 + index;
    if (index % 4 == 1) request.sampling.top_p = 0.95f;
    if (index % 4 == 3) request.sampling.repeat_penalty = 1.1f;
  }
  return request;
}

void expect_equal(const std::filesystem::path& model, const std::vector<Request>& requests,
                  const std::vector<Setting>& settings) {
  const auto expected = ids_with(model, settings[0], requests);
  size_t tokens = 0;
  for (const auto& ids : expected) tokens += ids.size();
  EXPECT_GE(tokens, requests.size());
  for (size_t s = 1; s < settings.size(); ++s) {
    const auto got = ids_with(model, settings[s], requests);
    for (size_t i = 0; i < requests.size(); ++i)
      EXPECT_EQ(got[i], expected[i]) << name_of(settings[s]) << ": request " << i;
  }
  fmt::print("{} requests, {} tokens, equal in {} settings\n", requests.size(), tokens,
             settings.size());
}

std::vector<Request> random_prompts(size_t count, unsigned longest) {
  std::mt19937 random(5);
  std::vector<Request> requests;
  for (size_t i = 0; i < count; ++i) {
    std::vector<int32_t> prompt(1 + random() % longest);
    for (int32_t& id : prompt) id = static_cast<int32_t>(random() % 256);
    Request request = request_of(i, prompt, 12);
    request.ignore_eos = true;
    requests.push_back(request);
  }
  return requests;
}

std::vector<Setting> every_setting(std::optional<DType> quantise) {
  std::vector<Setting> settings;
  for (const char* isa : {"auto", "avx2", "ref"}) {
    if (compute::kernels(isa) == nullptr ||
        (dspark::testing::kSanitized && isa == std::string("ref")))
      continue;
    for (int threads : {1, 2, 3})
      for (int concurrency : {1, 4, 32})
        for (int chunk : {1, 7, 64, 512})
          if (testing::nightly() || (threads + concurrency + chunk) % 5 == 0)
            settings.push_back({isa, threads, concurrency, chunk, concurrency == 32, quantise});
  }
  return settings;
}

TEST(Equality, TinyModelInEverySetting) {
  expect_equal(testing::tiny_model(), random_prompts(24, 150), every_setting({}));
}

TEST(Equality, TinyGemma4InEverySetting) {
  expect_equal(testing::tiny_gemma4(), random_prompts(testing::nightly() ? 24 : 10, 150),
               every_setting(DType::kQ8_0));
}

std::vector<Request> prompts(const std::filesystem::path& model, size_t count, size_t most_ids,
                             int tokens) {
  const auto tokenizer = tokenizer::Tokenizer::open(model);
  CHECK(tokenizer.ok(), "{}", tokenizer.message());
  std::ifstream in(std::string(DSPARK_SOURCE_DIR) + "/tests/data/prompts/eval_small.jsonl");
  std::vector<Request> requests;
  for (std::string line; std::getline(in, line) && requests.size() < count;) {
    const std::string text = "<|im_start|>user\n" +
                             nlohmann::json::parse(line)["turns"][0].get<std::string>() +
                             "<|im_end|>\n<|im_start|>assistant\n";
    auto ids = tokenizer.value().encode(text, tokenizer::Tokenizer::Specials::kParse);
    if (ids.size() > most_ids)
      ids.erase(ids.begin(), ids.end() - static_cast<std::ptrdiff_t>(most_ids));
    requests.push_back(request_of(requests.size(), ids, tokens));
  }
  CHECK(requests.size() == count, "eval_small.jsonl has {} prompts", requests.size());
  return requests;
}

TEST(Equality, DefaultModelOnAHundredPrompts) {
  const auto model = default_model();
  if (model.empty()) GTEST_SKIP() << "the default model is not installed";
  if (dspark::testing::kSanitized) GTEST_SKIP() << "too slow under a sanitizer";
  if (testing::nightly()) {  // every combination, whole prompts
    std::vector<Setting> settings;
    for (const char* isa : {"auto", "avx2"})
      for (int threads : {1, 2})
        for (int concurrency : {32, 4, 1})
          for (int chunk : {64, 512, 7, 1})
            if (compute::kernels(isa) != nullptr && (chunk > 1 || concurrency == 32))
              settings.push_back({isa, threads, concurrency, chunk, concurrency > 1});
    expect_equal(model, prompts(model, 102, 400, 48), settings);
    return;
  }
  const std::vector<Request> requests = prompts(model, 102, 40, 12);
  std::vector<Setting> settings{{"auto", 2, 32, 64, false},
                                {"auto", 1, 32, 512, true},
                                {"auto", 2, 4, 7, true},
                                {"auto", 2, 1, 512, false},
                                {"auto", 2, 32, 1, true}};
  if (compute::kernels("avx2") != nullptr) settings.push_back({"avx2", 2, 32, 64, true});
  expect_equal(model, requests, settings);
}

TEST(Equality, DefaultModelOnRef) {
  const auto model = default_model();
  if (model.empty()) GTEST_SKIP() << "the default model is not installed";
  if (dspark::testing::kSanitized) GTEST_SKIP() << "too slow under a sanitizer";
  std::vector<Request> requests = prompts(model, 6, 10, 5);
  expect_equal(model, requests, {{"auto", 2, 6, 64, false}, {"ref", 2, 6, 64, true}});
}

}  // namespace
}  // namespace dspark::engine
