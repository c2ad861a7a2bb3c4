// Draft halves of the tiny model fixtures: consecutive cycles with forced accept lengths, tensor by
// tensor, and the reference's whole generations, in float32 on every instruction set.
#include <cmath>
#include <nlohmann/json.hpp>

#include "draft/block_drafter.h"
#include "draft/eagle3.h"
#include "parity/fixture_json.h"
#include "parity/runner.h"
#include "parity/tensors.h"
#include "verify/verify.h"

namespace dspark::parity {
namespace {

constexpr int kPages = 4, kChunk = 64;

// A target and its drafter over one cache, taken through cycles by hand.
class Cycles {
 public:
  static Result<std::unique_ptr<Cycles>> open(const std::filesystem::path& folder,
                                              const compute::Kernels* kernels) {
    auto cycles = std::unique_ptr<Cycles>(new Cycles(kernels));
    DSPARK_TRY(cycles->target_,
               model::load_model(folder / "target", {DType::kF32, {}}, cycles->pool_));
    DSPARK_TRY(const draft::DrafterFile file, draft::DrafterFile::open(folder / "draft"));
    DSPARK_RETURN_IF_ERROR(draft::check_fits(file.config(), cycles->target_->spec, {}));
    DSPARK_TRY(auto drafter, draft::load_drafter(file, *cycles->target_, folder / "target",
                                                 {DType::kF32, 0, {}}, cycles->pool_));
    cycles->start(std::move(drafter));
    return cycles;
  }

  const draft::DrafterConfig& config() const { return config_; }
  draft::Drafter& drafter() { return *drafter_; }
  size_t width() const { return static_cast<size_t>(config_.taps() * target_->spec.hidden); }
  const model::Model& target() const { return *target_; }
  const kv::PagePool& pages() const { return *pages_; }
  const kv::Sequence& sequence() const { return *sequence_; }

  // Runs the prompt; the first token is the argmax of its last row.
  void prefill(const std::vector<int32_t>& prompt) {
    tokens_ = prompt;
    sequence_.emplace(*pages_);
    CHECK(sequence_->reserve(int64_t{kPages} * kv::kPositions));
    sampler_ = std::make_unique<sample::Sampler>(sample::Params{}, prompt, target_->spec.vocab);
    const std::vector<float> features = run(prompt, 0, {static_cast<int32_t>(prompt.size()) - 1});
    sequence_->extend(static_cast<int64_t>(prompt.size()));
    tokens_.push_back(index_of_largest(forward_->logits(0).data(), target_->spec.vocab));
    const auto early = static_cast<int>(prompt.size()) - 1;
    const draft::ContextRows rows{
        &*sequence_, 0, early, features.data(), std::span(tokens_).first(prompt.size()), nullptr};
    drafter_->absorb({&rows, 1});
    drafter_rows_ = early;
    pending_.assign(features.end() - static_cast<std::ptrdiff_t>(width()), features.end());
  }

  const draft::Block& draft(std::span<const int32_t> stops) {
    context_ = pending_;
    draft::BlockRequest request;
    const auto rows = static_cast<int>(pending_.size() / width());
    request.context = {&*sequence_,
                       drafter_rows_,
                       rows,
                       context_.data(),
                       std::span(tokens_).subspan(static_cast<size_t>(drafter_rows_),
                                                  static_cast<size_t>(rows) + 1),
                       nullptr};
    request.tokens = tokens_;
    request.slots = drafter_->slots();
    request.sampler = sampler_.get();
    request.stop_ids = stops;
    request.out = &block_;
    drafter_->draft({&request, 1});
    drafter_rows_ += rows;
    pending_.clear();
    return block_;
  }

  // The target over the anchor and the first n drafts; features of all rows.
  const std::vector<float>& check(int n) {
    std::vector<int32_t> ids{tokens_.back()}, rows{0};
    for (int i = 0; i < n; ++i) {
      ids.push_back(block_.ids[static_cast<size_t>(i)]);
      rows.push_back(i + 1);
    }
    return checked_ = run(ids, sequence_->length(), rows);
  }
  std::span<const float> logits(int row) const { return forward_->logits(row); }

  verify::Verdict greedy(int n, std::span<const int32_t> stops) {
    std::vector<std::span<const float>> rows;
    for (int i = 0; i <= n; ++i) rows.push_back(logits(i));
    verify::Verifier verifier(verify::Mode::kGreedy, target_->spec.vocab);
    return verifier
        .verify({sequence_->length(),
                 std::span(block_.ids).first(static_cast<size_t>(n)),
                 rows,
                 {},
                 stops},
                *sampler_)
        .take();
  }

  void commit(int accepted, int32_t next) {
    for (int i = 0; i < accepted; ++i) tokens_.push_back(block_.ids[static_cast<size_t>(i)]);
    if (next >= 0) tokens_.push_back(next);
    sequence_->extend(accepted + 1);
    pending_.assign(checked_.begin(),
                    checked_.begin() +
                        static_cast<std::ptrdiff_t>(static_cast<size_t>(accepted + 1) * width()));
  }

  const std::vector<int32_t>& tokens() const { return tokens_; }
  const std::vector<float>& context_features() const { return context_; }

 private:
  explicit Cycles(const compute::Kernels* kernels) : kernels_(kernels) {}

  void start(std::unique_ptr<draft::DrafterModel> drafter) {
    config_ = drafter->config;
    std::vector<kv::LayerShape> layers = target_->cache_layers();
    const int first = static_cast<int>(layers.size());
    for (const auto& layer : drafter->decoder.cache_layers()) layers.push_back(layer);
    pages_ = std::make_unique<kv::PagePool>(kv::Shape(layers), kPages);
    const int64_t context = int64_t{kPages} * kv::kPositions;
    forward_ = std::make_unique<model::Forward>(*target_, *kernels_, pool_, *pages_,
                                                model::Limits{kChunk, kChunk, context});
    drafter_ = draft::make_drafter(std::move(drafter),
                                   {kernels_, &pool_, pages_.get(), first, kChunk, 1, context});
  }

  std::vector<float> run(const std::vector<int32_t>& ids, int64_t position,
                         const std::vector<int32_t>& logit_rows) {
    const model::Segment segment{&*sequence_, 0, static_cast<int>(ids.size()), position};
    std::vector<float> features(ids.size() * width());
    forward_->run({ids, {&segment, 1}, logit_rows, drafter_->tap_layers(), features.data()});
    return features;
  }

  ThreadPool pool_{2};
  const compute::Kernels* kernels_;
  draft::DrafterConfig config_;
  std::unique_ptr<model::Model> target_;
  std::unique_ptr<kv::PagePool> pages_;
  std::unique_ptr<model::Forward> forward_;
  std::unique_ptr<draft::Drafter> drafter_;
  std::optional<kv::Sequence> sequence_;
  std::unique_ptr<sample::Sampler> sampler_;
  std::vector<int32_t> tokens_;
  std::vector<float> pending_, context_, checked_;
  int64_t drafter_rows_ = 0;
  draft::Block block_;
};

class Comparison {
 public:
  Comparison(const formats::Safetensors& expected, std::string where, Report& report)
      : expected_(expected), where_(std::move(where)), report_(report) {}

  void close(const std::string& name, std::span<const float> got) const {
    const std::vector<float> want = tensor(expected_, name);
    const double difference = got.size() == want.size()
                                  ? largest_difference(got.data(), want.data(), want.size())
                                  : INFINITY;
    report_.check(difference <= kTolerance,
                  fmt::format("{}: {} differs by {}", where_, name, difference));
  }
  void equal(const std::string& name, std::span<const int32_t> got) const {
    const std::vector<int32_t> want = int_tensor(expected_, name);
    report_.check(std::equal(got.begin(), got.end(), want.begin(), want.end()),
                  fmt::format("{}: {} differs", where_, name));
  }

 private:
  const formats::Safetensors& expected_;
  std::string where_;
  Report& report_;
};

// Of a block drafter's last block: outputs, logits before and after the heads, confidences.
void compare_block(const draft::BlockDrafter& drafter, const compute::Kernels& kernels,
                   const std::string& prefix, int32_t anchor, const draft::Block& block,
                   bool has_teacher, const formats::Safetensors& file, const Comparison& compare) {
  const draft::DrafterModel& model = drafter.model();
  const auto hidden = static_cast<size_t>(model.decoder.spec.hidden);
  std::vector<float> h, base;
  for (int s = 0; s < drafter.slots(); ++s) {
    h.insert(h.end(), drafter.hidden_of(0, s), drafter.hidden_of(0, s) + hidden);
    const auto logits = drafter.base_logits(0, s);
    base.insert(base.end(), logits.begin(), logits.end());
  }
  compare.close(prefix + "h", h);
  compare.close(prefix + "base_logits", base);
  const auto chain = [&](const std::string& names, auto previous_of) {
    draft::SequentialHeads heads(model, kernels);
    heads.start();
    std::vector<float> corrected, confidence;
    for (int s = 0; s < drafter.slots(); ++s) {
      heads.step(drafter.hidden_of(0, s), previous_of(s));
      const auto logits = drafter.base_logits(0, s);
      std::vector<float> row(logits.begin(), logits.end());
      heads.correct({}, row);
      corrected.insert(corrected.end(), row.begin(), row.end());
      confidence.push_back(heads.confidence_logit());
    }
    compare.close(names + "corrected_logits", corrected);
    if (model.config.confidence_head) compare.close(names + "confidence_logits", confidence);
  };
  chain(prefix, [&](int s) { return s == 0 ? anchor : block.ids[static_cast<size_t>(s) - 1]; });
  if (has_teacher && model.config.markov_head != draft::MarkovHead::kNone) {
    const std::vector<int32_t> teacher = int_tensor(file, prefix + "tf_prev_ids");
    chain(prefix + "tf_", [&](int s) { return teacher[static_cast<size_t>(s)]; });
  }
}

// Keys and values of the drafter's layers for all committed rows.
void compare_cache(const Cycles& cycles, int64_t rows, const Comparison& compare) {
  const auto& pages = const_cast<kv::PagePool&>(cycles.pages());
  const int first = static_cast<int>(cycles.target().cache_layers().size());
  for (int l = 0; l < cycles.config().decoder.layers; ++l) {
    const kv::LayerShape& shape = pages.shape().layer(first + l);
    std::vector<float> keys, values;
    for (int h = 0; h < shape.kv_heads; ++h)
      for (int64_t r = 0; r < rows; ++r) {
        const kv::PageId page = cycles.sequence().pages()[static_cast<size_t>(r / kv::kPositions)];
        auto& pool = const_cast<kv::PagePool&>(pages);
        const auto* k = reinterpret_cast<const float*>(pool.keys(page, first + l, h));
        const auto* v = reinterpret_cast<const float*>(pool.values(page, first + l, h));
        const int64_t within = r % kv::kPositions;
        for (int d = 0; d < shape.head_dim; ++d) {
          keys.push_back(k[(within / 16 * shape.head_dim + d) * 16 + within % 16]);
          values.push_back(v[within * shape.head_dim + d]);
        }
      }
    compare.close(fmt::format("final_cache.{}.k", l), keys);
    compare.close(fmt::format("final_cache.{}.v", l), values);
  }
}

void check_cycles(Cycles& cycles, const std::filesystem::path& folder,
                  const compute::Kernels& kernels, const std::vector<int32_t>& prompt,
                  Report& report) {
  const auto file = formats::Safetensors::open(folder / "draft.safetensors");
  const auto text = read_file(folder / "draft.json", size_t{1} << 20);
  CHECK(file.ok() && text.ok(), "{}: draft.safetensors or draft.json is missing", folder.string());
  const auto records = nlohmann::json::parse(text.value())["cycles"];
  const Comparison compare(file.value(), kernels.name, report);
  std::vector<float> outputs, logits;
  auto* block_drafter = dynamic_cast<draft::BlockDrafter*>(&cycles.drafter());
  auto* eagle = dynamic_cast<draft::Eagle3*>(&cycles.drafter());
  if (eagle != nullptr)
    eagle->observe_slots([&](int, std::span<const float> output, std::span<const float> row) {
      outputs.insert(outputs.end(), output.begin(), output.end());
      logits.insert(logits.end(), row.begin(), row.end());
    });
  cycles.prefill(prompt);
  for (size_t c = 0; c < records.size(); ++c) {
    const std::string prefix = fmt::format("c{}.", c);
    const int32_t anchor = cycles.tokens().back();
    report.check(anchor == records[c]["anchor"], fmt::format("{}anchor", prefix));
    outputs.clear(), logits.clear();
    const draft::Block& block = cycles.draft({});
    compare.equal(prefix + "draft_tokens", block.ids);
    if (block_drafter != nullptr) {
      // Of the prompt's rows all but the last were taken in before.
      if (c > 0) compare.close(prefix + "ctx_features", cycles.context_features());
      compare_block(*block_drafter, kernels, prefix, anchor, block, c == 0, file.value(), compare);
    } else {
      const auto hidden = static_cast<size_t>(cycles.target().spec.hidden);
      compare.close(prefix + "draft_logits", logits);
      compare.close(prefix + "draft_hidden_in", std::span(outputs).first(hidden));
      // The reference's steps end with an output that no draft is drawn from.
      std::vector<float> want = tensor(file.value(), prefix + "step_hidden_out");
      const size_t known = outputs.size() - hidden;
      const double difference = largest_difference(outputs.data() + hidden, want.data(), known);
      report.check(difference <= kTolerance,
                   fmt::format("{}step_hidden_out differs by {}", prefix, difference));
    }
    const int n = static_cast<int>(block.ids.size());
    compare.close(prefix + "verify_features", cycles.check(n));
    std::vector<float> rows;
    for (int i = 0; i <= n; ++i)
      rows.insert(rows.end(), cycles.logits(i).begin(), cycles.logits(i).end());
    compare.close(prefix + "verify_logits", rows);
    const int accepted = records[c]["forced_accepted"];
    report.check(cycles.greedy(n, {}).accepted == records[c]["natural_accepted"],
                 prefix + "natural_accepted");
    const int32_t next =
        index_of_largest(cycles.logits(accepted).data(), cycles.target().spec.vocab);
    report.check(next == records[c]["next_token"], prefix + "next_token");
    cycles.commit(accepted, next);
  }
  compare.equal("final_sequence", cycles.tokens());
  cycles.draft({});  // the last rows become the drafter's
  compare_cache(cycles, records.back()["draft_cache_len_after"], compare);
  if (eagle != nullptr) eagle->observe_slots({});
}

// The reference loop (spec C.2 to C.6) with our drafter and target.
void check_generation(Cycles& cycles, const nlohmann::json& run, const std::string& where,
                      Report& report, verify::AcceptanceMetrics* pooled) {
  const auto prompt = run["prompt_ids"].get<std::vector<int32_t>>();
  std::vector<int32_t> stops;
  if (!run["stop_token_ids"].is_null()) stops = run["stop_token_ids"].get<std::vector<int32_t>>();
  const double threshold = run["confidence_threshold"];
  const size_t limit = prompt.size() + run["max_new_tokens"].get<size_t>();
  const auto is_stop = [&](int32_t id) {
    return std::find(stops.begin(), stops.end(), id) != stops.end();
  };
  cycles.prefill(prompt);
  std::vector<int> lengths, proposals, accepted;
  bool ended = is_stop(cycles.tokens().back());
  while (!ended && cycles.tokens().size() - 1 < limit) {
    const draft::Block& block = cycles.draft(stops);
    int n = static_cast<int>(block.ids.size());
    if (threshold > 0)
      for (int j = 0; j < n; ++j)
        if (1 / (1 + std::exp(-block.confidence[static_cast<size_t>(j)])) < threshold) n = j;
    cycles.check(n);
    const verify::Verdict verdict = cycles.greedy(n, stops);
    const bool by_draft = verdict.next < 0;
    lengths.push_back(verdict.accepted + (by_draft ? 0 : 1));
    proposals.push_back(by_draft ? verdict.accepted : n);
    accepted.push_back(verdict.accepted);
    if (pooled != nullptr) pooled->add(lengths.back(), proposals.back(), accepted.back());
    cycles.commit(verdict.accepted, verdict.next);
    ended = verdict.stopped;
  }
  std::vector<int32_t> output = cycles.tokens();
  output.resize(std::min(output.size(), limit));
  const auto stop = std::find_if(output.begin() + static_cast<std::ptrdiff_t>(prompt.size()),
                                 output.end(), is_stop);
  if (stop != output.end()) output.erase(stop + 1, output.end());
  const auto check = [&](const char* key, const auto& got) {
    report.check(run[key] == nlohmann::json(got),
                 fmt::format("{}: {}: {}", where, run["label"].get<std::string>(), key));
  };
  check("output_ids", output);
  check("acceptance_lengths", lengths);
  check("proposal_lengths", proposals);
  check("accepted_draft_lengths", accepted);
}

}  // namespace

void check_drafter(const std::filesystem::path& folder, Report& report) {
  const auto prefill = formats::Safetensors::open(folder / "prefill.safetensors");
  const auto generate = read_file(folder / "generate.json", size_t{1} << 26);
  CHECK(prefill.ok() && generate.ok(), "{}: prefill.safetensors or generate.json is missing",
        folder.string());
  const auto record = nlohmann::json::parse(generate.value());
  for (const compute::Kernels* kernels : compute::all_kernels()) {
    if (compute::kernels(kernels->name) != kernels) continue;
    auto cycles = Cycles::open(folder, kernels);
    report.check(cycles.ok(), cycles.ok() ? "" : cycles.message());
    if (!cycles.ok()) continue;
    check_cycles(*cycles.value(), folder, *kernels, int_tensor(prefill.value(), "input_ids"),
                 report);
    verify::AcceptanceMetrics pooled;
    for (const auto& run : record["runs"])
      check_generation(*cycles.value(), run, kernels->name, report,
                       run["label"].get<std::string>().starts_with("greedy") ? &pooled : nullptr);
    const auto& metrics = record["pooled_metrics_of_greedy_runs"];
    report.check(
        std::fabs(pooled.accept_length() - metrics["acceptance_length"].get<double>()) < 1e-9,
        fmt::format("{}: pooled acceptance length", kernels->name));
    report.check(std::fabs(pooled.verify_rate() - metrics["verify_rate"].get<double>()) < 1e-9,
                 fmt::format("{}: pooled verify rate", kernels->name));
  }
}

}  // namespace dspark::parity
