// What is inside an Engine. Private to the room engine.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "engine/engine.h"
#include "engine/request.h"
#include "engine/speculation.h"
#include "kv/kv.h"
#include "model/model.h"

namespace dspark::engine {

inline double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

inline constexpr int kScoreRows = 64;  // rows with logits of a step of score()

struct Engine::Impl {
  Impl(const Options& options, tokenizer::Tokenizer tokens)
      : options(options),
        pool(options.threads, options.pin_threads),
        tokenizer(std::move(tokens)) {}

  // create.cc
  Status load(const std::filesystem::path& path);
  Status load_drafter(const std::filesystem::path& target_path);
  Status allot_cache();

  // engine.cc: where an answer of the grammar begins; nullptr without one.
  std::unique_ptr<sample::Constraint> constraint_of(
      const std::shared_ptr<const grammar::Grammar>& grammar);

  // admission.cc: who runs, and with which pages.
  void admit();
  ActiveRequest& next_to_join();
  bool displaces_last(const ActiveRequest& next) const;
  using Requests = std::deque<std::unique_ptr<ActiveRequest>>;
  static void insert(std::unique_ptr<ActiveRequest> request, Requests& in_order);
  bool begin(ActiveRequest& request);
  void make_room();
  void preempt_last();
  bool reserve(kv::Sequence& sequence, int64_t positions);
  void remember(const ActiveRequest& request);
  // Positions that the request's pages should hold in the end: its own and the drafter's scratch
  // rows.
  int64_t positions_wanted(const ActiveRequest& request) const;
  // Those of its next step.
  int64_t positions_next(const ActiveRequest& request) const;

  // step.cc: a step, from who brings which rows to what they became.
  void warn_once(const std::string& text);
  void draft();
  int64_t chunk_rows() const;
  void plan_rows();
  void add_rows(ActiveRequest& request, int64_t rows);
  void run_step();
  void choose_first(size_t segment);
  void drop_finished();

  // cycles.cc: what the step's rows mean for the drafts. By segment of a decoding request:
  struct Checker {                                               // a thread's own
    std::array<std::unique_ptr<verify::Verifier>, 4> verifiers;  // by mode, those in use
    std::vector<std::span<const float>> rows;
    std::vector<verify::DraftDistribution> q;
  };
  void prepare_verifiers(verify::Mode mode);
  int sound_rows(size_t segment) const;
  std::span<const std::span<const float>> list_logits(size_t segment, int sound,
                                                      Checker& checker) const;
  void check_drafts();
  void commit(size_t segment, RequestStep& share);

  // Rows of a step and where they came from.
  struct Rows {
    std::vector<int32_t> tokens;
    std::vector<model::Segment> segments;
    std::vector<ActiveRequest*> requests;  // by segment
    std::vector<int> first_logit;          // by segment: index of its first row with logits
    std::vector<int32_t> logit_rows;
    void clear() {
      tokens.clear(), segments.clear(), requests.clear(), first_logit.clear(), logit_rows.clear();
    }
  };

  Options options;
  ThreadPool pool;
  tokenizer::Tokenizer tokenizer;
  std::unique_ptr<model::Model> model;
  const compute::Kernels* kernels = nullptr;
  std::unique_ptr<draft::DrafterModel> drafter_model;  // until the drafter takes it
  std::unique_ptr<kv::PagePool> pages;
  std::unique_ptr<kv::PrefixIndex> prefixes;
  std::unique_ptr<model::Forward> forward;
  std::unique_ptr<Speculation> speculation;        // null without a drafter
  std::vector<Checker> checkers;                   // [threads]
  std::vector<Result<verify::Verdict>> verdicts;   // [segments]
  std::shared_ptr<const grammar::TokenTrie> trie;  // made for the first grammar
  // Of the last grammars by their source, the latest at the end.
  std::vector<std::pair<std::string, grammar::Masks>> masks;
  Info info;
  RequestId last_id = 0;
  Requests waiting, running;      // in order of arrival, those in the background behind the others
  int joined_since_promoted = 0;  // while some in the background waited
  Rows rows;
  std::vector<ActiveRequest*> decoding;  // of this step
  std::vector<ActiveRequest*> filled;    // whose prompts it ended
  std::vector<RequestStep> shares;       // what stats.by_request shows
  StepStats stats;
  bool in_step = false;
};

}  // namespace dspark::engine
