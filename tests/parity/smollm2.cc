// The default model against its float32 reference: tokenizer, logits, hidden states, greedy
// continuations and perplexity, in float32 and with 8-bit activations.
#include <algorithm>
#include <cmath>
#include <fstream>

#include "parity/fixture_json.h"
#include "parity/runner.h"
#include "sample/sample.h"
#include "sanitized.h"
#include "tokenizer/tokenizer.h"

namespace dspark::parity {
namespace {

using nlohmann::json;

std::vector<json> read_lines(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::vector<json> rows;
  for (std::string line; std::getline(in, line);)
    if (!line.empty()) rows.push_back(json::parse(line));
  CHECK(!rows.empty(), "{} is missing or empty", path.string());
  return rows;
}

void check_tokenizer(const std::filesystem::path& folder, const tokenizer::Tokenizer& tokens,
                     Report& report) {
  using Specials = tokenizer::Tokenizer::Specials;
  for (const bool special : {false, true})
    for (const json& row :
         read_lines(folder / (special ? "tokenizer_special.jsonl" : "tokenizer.jsonl"))) {
      const auto text = row["text"].get<std::string>();
      report.check(tokens.encode(text, special ? Specials::kParse : Specials::kAsText) ==
                       row["ids"].get<std::vector<int32_t>>(),
                   fmt::format("tokens of {}", row["text"].dump()));
    }
}

void check_template(const std::filesystem::path& folder, const tokenizer::Tokenizer& tokens,
                    Report& report) {
  const auto chat = tokenizer::ChatTemplate::compile(tokens.chat_template(), "chat template");
  report.check(chat.ok(), chat.ok() ? "" : chat.message());
  if (!chat.ok()) return;
  for (const json& row : read_lines(folder / "chat_template.jsonl")) {
    const auto rendered =
        chat.value().render({{"messages", nlohmann::ordered_json::parse(row["messages"].dump())},
                             {"add_generation_prompt", row["add_generation_prompt"]}},
                            0);
    report.check(rendered.ok() && rendered.value() == row["rendered"].get<std::string>(),
                 fmt::format("template of {}", row["messages"].dump().substr(0, 80)));
  }
}

double nll_of(const float* logits, int64_t vocab, int32_t id) {
  return sample::log_sum_exp({logits, static_cast<size_t>(vocab)}) - logits[id];
}

// exact: float32 tolerances, else those for 8-bit activations.
void check_logits(Runner& runner, const std::filesystem::path& folder, bool exact, Report& report) {
  const json meta = read_json(folder / "logits.json");
  const auto tensors = formats::Safetensors::open(folder / "logits.safetensors");
  CHECK(tensors.ok(), "{}", tensors.message());
  const int64_t vocab = runner.model().spec.vocab;
  const auto hidden = static_cast<size_t>(runner.model().spec.hidden);
  const auto layers = meta["hidden_layers"].get<std::vector<int>>();
  for (const json& prompt : meta["prompts"]) {
    const std::string name = fmt::format("p{:02}", prompt["index"].get<int>());
    const auto ids = prompt["ids"].get<std::vector<int32_t>>();
    const Runner::Output out = runner.run(ids, layers, true);
    const float* last = &out.logits[(ids.size() - 1) * static_cast<size_t>(vocab)];
    double nll = 0;
    for (size_t t = 1; t < ids.size(); ++t)
      nll += nll_of(&out.logits[(t - 1) * static_cast<size_t>(vocab)], vocab, ids[t]);
    nll /= static_cast<double>(ids.size() - 1);
    const double nll_error = std::fabs(nll - prompt["mean_nll"].get<double>());
    report.check(nll_error <= (exact             ? 1e-4
                               : ids.size() < 50 ? 0.1
                                                 : 0.05),
                 fmt::format("{}: mean_nll off by {}", name, nll_error));

    std::vector<float> want(20);
    std::vector<int32_t> top(20), mine(static_cast<size_t>(vocab));
    std::copy_n(tensors.value().find(name + ".top_logits")->data, 80,
                reinterpret_cast<uint8_t*>(want.data()));
    std::copy_n(tensors.value().find(name + ".top_ids")->data, 80,
                reinterpret_cast<uint8_t*>(top.data()));
    for (int32_t i = 0; i < vocab; ++i) mine[static_cast<size_t>(i)] = i;
    std::partial_sort(mine.begin(), mine.begin() + 20, mine.end(), [&](int32_t a, int32_t b) {
      return last[a] > last[b] || (last[a] == last[b] && a < b);
    });
    if (!exact) {
      report.check(std::find(mine.begin(), mine.begin() + 3, top[0]) != mine.begin() + 3,
                   fmt::format("{}: top-1 is not in the top 3", name));
      continue;
    }
    for (size_t i = 0; i < 20; ++i) {
      const double error = std::fabs(last[top[i]] - want[i]);
      report.check(error <= 2e-3, fmt::format("{}: logit {} off by {}", name, i, error));
      const bool clear =
          (i == 0 || want[i - 1] - want[i] > 4e-3f) && (i == 19 || want[i] - want[i + 1] > 4e-3f);
      report.check(!clear || mine[i] == top[i],
                   fmt::format("{}: rank {} is another token", name, i));
    }
    if (const TensorView* full = tensors.value().find(name + ".last_logits")) {
      double most = 0;
      for (int64_t i = 0; i < vocab; ++i) {
        float value;
        std::copy_n(full->data + 4 * i, 4, reinterpret_cast<uint8_t*>(&value));
        most = std::max(most, std::fabs(static_cast<double>(last[i]) - value));
      }
      report.check(most <= 2e-3, fmt::format("{}: a logit is off by {}", name, most));
    }
    const TensorView* states = tensors.value().find(name + ".hidden");  // [layers, 2, hidden]
    for (size_t l = 0; l < layers.size(); ++l)
      for (size_t p = 0; p < 2; ++p) {
        const float* got = &out.taps[((ids.size() - 2 + p) * layers.size() + l) * hidden];
        double error = 0, norm = 0;
        for (size_t i = 0; i < hidden; ++i) {
          float value;
          std::copy_n(states->data + 4 * ((l * 2 + p) * hidden + i), 4,
                      reinterpret_cast<uint8_t*>(&value));
          error += (got[i] - value) * (got[i] - value);
          norm += value * value;
        }
        report.check(std::sqrt(error / norm) <= 1e-4,
                     fmt::format("{}: hidden state of layer {} off by {}", name, layers[l],
                                 std::sqrt(error / norm)));
      }
  }
}

// Each step's choice after the reference's own tokens: the same as its continuation as long as no
// step differs. In float32 none may before the reference itself is undecided.
void check_greedy(Runner& runner, const std::filesystem::path& folder, bool exact, Report& report) {
  int steps = 0, agreed = 0;
  const json greedy = read_json(folder / "greedy.json");
  for (const json& prompt : greedy["prompts"]) {
    auto ids = prompt["prompt_ids"].get<std::vector<int32_t>>();
    const auto expected = prompt["greedy_ids"].get<std::vector<int32_t>>();
    const auto margins = prompt["margins"].get<std::vector<double>>();
    const std::string name = fmt::format("greedy {}", prompt["index"].get<int>());
    const size_t first = ids.size() - 1;
    ids.insert(ids.end(), expected.begin(), expected.end() - 1);
    const int64_t vocab = runner.model().spec.vocab;
    const Runner::Output out = runner.run(ids, {}, true);
    bool decided = true;
    for (size_t k = 0; k < expected.size(); ++k) {
      const float* logits = &out.logits[(first + k) * static_cast<size_t>(vocab)];
      const bool same = index_of_largest(logits, vocab) == expected[k];
      ++steps;
      agreed += same;
      decided &= margins[k] >= 4e-3;
      if (exact ? decided : margins[k] >= 1.0)
        report.check(same, fmt::format("{}: step {} with margin {}", name, k, margins[k]));
    }
  }
  if (!exact)
    report.check(agreed >= 0.94 * steps,
                 fmt::format("greedy: {} of {} steps agree", agreed, steps));
}

void check_perplexity(Runner& runner, const std::filesystem::path& folder,
                      const tokenizer::Tokenizer& tokens, bool exact, Report& report) {
  const json meta = read_json(folder / "perplexity.json");
  const auto text = read_file(folder / "perplexity.txt", size_t{1} << 24);
  CHECK(text.ok(), "{}", text.message());
  const auto ids = tokens.encode(text.value(), tokenizer::Tokenizer::Specials::kAsText);
  report.check(ids.size() == meta["tokens"].get<size_t>(),
               fmt::format("perplexity.txt has {} tokens", ids.size()));
  // The float32 pass is slow: two windows against their own sums; with 8-bit activations all of
  // them.
  const size_t windows = exact ? 2 : meta["windows"].size();
  const int64_t vocab = runner.model().spec.vocab;
  double sum = 0, expected = 0, predicted = 0;
  for (size_t w = 0; w < windows; ++w) {
    const json& window = meta["windows"][w];
    const auto begin = ids.begin() + window["start"].get<std::ptrdiff_t>();
    const std::vector<int32_t> part(begin, begin + window["tokens"].get<std::ptrdiff_t>());
    const Runner::Output out = runner.run(part, {}, true);
    for (size_t t = 1; t < part.size(); ++t)
      sum += nll_of(&out.logits[(t - 1) * static_cast<size_t>(vocab)], vocab, part[t]);
    expected += window["nll_sum"].get<double>();
    predicted += window["predicted"].get<double>();
  }
  const double error = std::fabs(sum - expected) / predicted;
  report.check(error <= (exact ? 1e-4 : 0.005),
               fmt::format("perplexity: mean_nll off by {}", error));
  fmt::print(stderr, "  perplexity {}: mean nll off by {:.6f}\n", exact ? "f32" : "8-bit", error);
}

}  // namespace

void check_smollm2(const std::filesystem::path& folder, const std::filesystem::path& model,
                   Report& report) {
  const auto tokens = tokenizer::Tokenizer::open(model);
  report.check(tokens.ok(), tokens.ok() ? "" : tokens.message());
  if (!tokens.ok()) return;
  check_tokenizer(folder, tokens.value(), report);
  check_template(folder, tokens.value(), report);
  // The numbers are the release build's to check; a sanitizer would take many minutes.
  if (testing::kSanitized) return;
  for (const bool exact : {false, true}) {
    auto runner = Runner::open(model, "auto", exact ? std::optional(DType::kF32) : std::nullopt);
    report.check(runner.ok(), runner.ok() ? "" : runner.message());
    if (!runner.ok()) continue;
    check_logits(*runner.value(), folder, exact, report);
    check_greedy(*runner.value(), folder, exact, report);
    check_perplexity(*runner.value(), folder, tokens.value(), exact, report);
  }
}

}  // namespace dspark::parity
