// A request inside the engine: its place in the cache, its sampler, its text so far.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "kv/kv.h"

namespace dspark::engine {

using Clock = std::chrono::steady_clock;

// Text of a growing answer with stop strings: what may be shown is never part of one.
class TextBuilder {
 public:
  TextBuilder(const tokenizer::Tokenizer& tokenizer, std::vector<std::string> stops);

  // Adds a token's text; true when a stop string is now complete (the text then ends before it).
  bool push(int32_t id);
  // The end without a stop string: what was held back belongs to the text.
  void finish();
  // What may be shown and has not been taken yet.
  std::string take();
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

class ActiveRequest {
 public:
  ActiveRequest(RequestId id, Request request, Callbacks callbacks,
                const tokenizer::Tokenizer& tokenizer, int32_t vocab, kv::PagePool& pages);

  RequestId id() const { return id_; }
  kv::Sequence& sequence() { return sequence_; }
  const kv::Sequence& sequence() const { return sequence_; }
  int64_t positions_needed(int64_t context) const;  // rows that its cache must hold at most

  // The rows it can bring to a step: the rest of its prompt, or its last token.
  bool prefilling() const { return sequence_.length() < prompt_rows(); }
  int64_t rows_ready() const { return prefilling() ? prompt_rows() - sequence_.length() : 1; }
  int32_t token_at(int64_t position) const;

  void start(Clock::time_point now) { started_ = now; }
  bool started() const { return started_ != Clock::time_point{}; }

  // The logits of its last row, after the row was committed. Chooses and takes in the next token.
  void advance(std::span<const float> logits, int64_t context);
  void finish(Finish finish, std::string error = {});
  bool finished() const { return finished_; }

  // Gives the step's news to the callbacks; the completion when finished.
  void report();

 private:
  int64_t prompt_rows() const { return static_cast<int64_t>(request_.prompt_ids.size()); }

  RequestId id_;
  Request request_;
  Callbacks callbacks_;
  const tokenizer::Tokenizer& tokenizer_;
  sample::Sampler sampler_;
  kv::Sequence sequence_;
  TextBuilder text_;
  Completion completion_;
  size_t reported_ids_ = 0;
  bool finished_ = false;
  Clock::time_point started_{}, first_id_{}, last_id_{};
};

}  // namespace dspark::engine
