// A request inside the engine: its place in the cache, its sampler, its text so far.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "draft/draft.h"
#include "engine/engine.h"
#include "kv/kv.h"

namespace dspark::engine {

using Clock = std::chrono::steady_clock;

// Text of a growing answer with stop strings: what may be shown is never part of one.
class TextBuilder {
 public:
  TextBuilder(const tokenizer::Tokenizer& tokenizer, std::vector<std::string> stops);

  void reserve(size_t tokens);
  // Adds a token's text; true when a stop string is now complete (the text then ends before it).
  bool push(int32_t id);
  // The end without a stop string: what was held back belongs to the text.
  void finish();
  // What may be shown and has not been taken yet.
  std::string take();
  size_t taken() const { return taken_; }  // bytes
  const std::string& text() const { return text_; }

 private:
  bool append(const std::string& piece);
  size_t held_back() const;  // bytes at the end that may be the start of a stop string

  tokenizer::StreamDecoder decoder_;
  std::vector<std::string> stops_;
  size_t longest_stop_ = 0;
  std::string text_;
  size_t taken_ = 0;
  bool ended_ = false;
};

// What speculation keeps of a request.
struct DraftState {
  std::unique_ptr<draft::RequestState> drafter;
  // Features of committed rows that the drafter has not taken in, the newest among them; the first
  // is of position drafter_rows.
  std::vector<float> pending;  // [pending_rows or more, taps * hidden]
  int pending_rows = 0;
  // The drafter has the rows [seen_from, drafter_rows); those before it never sees.
  int64_t seen_from = 0, drafter_rows = 0;
  draft::Block block;                                // of this cycle; empty: none was drafted
  const verify::Calibration* calibration = nullptr;  // of its confidences
  std::vector<double> signal;                        // [block]: what its confidences come from
  std::vector<double> confidence, survival;          // [block]
  verify::RequestBias biases[2];         // of computed blocks, of blocks that were looked up
  std::vector<double> past_survival[2];  // of the step before, and of that before it
  int verify_length = 0, accepted = 0;   // of this cycle
  verify::Pace pace;
  verify::DraftLength length;
  std::unique_ptr<verify::Planner> planner;  // its own, where the request has one
  bool off = false;                          // drafting ended: a draft was not finite
};

class ActiveRequest {
 public:
  ActiveRequest(RequestId id, Request request, Callbacks callbacks,
                const tokenizer::Tokenizer& tokenizer, int32_t vocab, kv::PagePool& pages,
                std::unique_ptr<sample::Constraint> constraint);

  RequestId id() const { return id_; }
  kv::Sequence& sequence() { return sequence_; }
  const kv::Sequence& sequence() const { return sequence_; }
  // Rows that its cache must hold at most.
  int64_t positions_needed(int64_t context) const;

  // The rows it can bring to a step: the rest of its prompt (of one that was preempted, of its text
  // so far), or its last token.
  bool prefilling() const { return sequence_.length() < fill_rows_; }
  int64_t rows_ready() const { return prefilling() ? fill_rows_ - sequence_.length() : 1; }
  bool answering() const { return !completion_.ids.empty(); }
  int32_t token_at(int64_t position) const { return tokens_[static_cast<size_t>(position)]; }
  std::span<const int32_t> tokens() const { return tokens_; }  // prompt and answer so far
  // Tokens that end it.
  std::span<const int32_t> stop_ids() const;
  sample::Sampler& sampler() { return sampler_; }
  const sample::Params& sampling() const { return request_.sampling; }
  DraftState& draft() { return draft_; }
  const DraftState& draft() const { return draft_; }
  // Most slots worth drafting: as many tokens may still come besides the bonus token.
  int draft_room(int64_t context) const;
  void set_draft_max(int slots) { request_.draft_max = slots; }
  // Whom others go before; a background request no longer does once it was promoted.
  bool in_background() const { return request_.latency == LatencyClass::kBackground && !promoted_; }
  void promote() { promoted_ = true; }
  bool goes_before(const ActiveRequest& other) const {
    return in_background() != other.in_background() ? other.in_background() : id_ < other.id_;
  }
  bool never_drafts() const { return request_.never_draft; }
  const std::optional<verify::PlannerSpec>& own_planner() const { return request_.planner; }
  verify::Mode verify_mode(verify::Mode usual) const { return request_.verify.value_or(usual); }

  void begins();   // its sequence holds what was known of it
  void suspend();  // gives its pages up; it goes on as one that has yet to begin
  void start(Clock::time_point now) { started_ = now; }
  bool started() const { return started_ != Clock::time_point{}; }

  // The logits of its prompt's last row. Chooses and takes in the first token.
  void advance(std::span<const float> logits, int64_t context);
  // A cycle: takes in the accepted drafts and the next token. rows: the target's logits after the
  // anchor and each draft.
  void commit(const Cycle& cycle, const verify::Verdict& verdict,
              std::span<const std::span<const float>> rows, int64_t context);
  void finish(Finish finish, std::string error = {});
  bool finished() const { return finished_; }
  bool failed() const { return finished_ && completion_.finish == Finish::kError; }

  // Gives the step's news to the callbacks; the completion when finished.
  void report();

 private:
  int64_t prompt_rows() const { return static_cast<int64_t>(request_.prompt_ids.size()); }
  void take(int32_t id, Origin origin, std::span<const float> logits, int64_t context);
  std::vector<Piece> pieces_of(const std::string& text, size_t from);

  RequestId id_;
  Request request_;
  Callbacks callbacks_;
  const tokenizer::Tokenizer& tokenizer_;
  sample::Sampler sampler_;
  kv::Sequence sequence_;
  int64_t fill_rows_;  // rows before the first that is decoded
  std::vector<int32_t> tokens_;
  DraftState draft_;
  TextBuilder text_;
  Completion completion_;
  size_t reported_ids_ = 0;
  // Tokens whose text may not be shown to its end yet: where it ends in the answer's text. Only
  // where origins are asked for.
  std::vector<std::pair<size_t, Origin>> text_ends_;
  bool finished_ = false, promoted_ = false;
  Clock::time_point started_{}, first_id_{}, last_id_{};
};

}  // namespace dspark::engine
