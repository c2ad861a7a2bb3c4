#include "engine/drafted.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace dspark::engine::testing {
namespace {

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

bool same(const std::vector<std::vector<sample::TokenLogprob>>& a,
          const std::vector<std::vector<sample::TokenLogprob>>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const auto& p, const auto& q) {
      return p.id == q.id && p.logprob == q.logprob;
    });
  });
}

}  // namespace

void Oracle::draft(std::span<const draft::BlockRequest> requests) {
  for (const draft::BlockRequest& request : requests) {
    request.out->clear();
    const std::vector<int32_t> tokens(request.tokens.begin(), request.tokens.end());
    for (const auto& [prompt, ids] : answers_) {
      const size_t n = prompt.size();
      if (n >= tokens.size() || !std::equal(prompt.begin(), prompt.end(), tokens.begin())) continue;
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

std::vector<Request> requests_of(size_t count) {
  std::mt19937 random(11);
  std::vector<Request> requests;
  for (size_t i = 0; i < count; ++i) requests.push_back(varied(i, random));
  return requests;
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

}  // namespace dspark::engine::testing
