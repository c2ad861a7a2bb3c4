#include "engine/request.h"

#include <algorithm>

namespace dspark::engine {
namespace {

constexpr int kUsualTokens = 4096;
constexpr size_t kUsualBytes = 8;  // of a token's text

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

}  // namespace

const char* finish_name(Finish finish) {
  switch (finish) {
    case Finish::kStop:
      return "stop";
    case Finish::kLength:
      return "length";
    case Finish::kCancelled:
      return "cancelled";
    case Finish::kError:
      return "error";
  }
  return "?";
}

TextBuilder::TextBuilder(const tokenizer::Tokenizer& tokenizer, std::vector<std::string> stops)
    : decoder_(tokenizer), stops_(std::move(stops)) {
  for (const std::string& stop : stops_) longest_stop_ = std::max(longest_stop_, stop.size());
}

void TextBuilder::reserve(size_t tokens) { text_.reserve(tokens * kUsualBytes); }

bool TextBuilder::append(const std::string& piece) {
  const size_t before = text_.size();
  text_ += piece;
  if (stops_.empty() || ended_) return false;
  const size_t from = before > longest_stop_ ? before - longest_stop_ : 0;
  size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, text_.find(stop, from));
  if (first == std::string::npos) return false;
  text_.resize(first);
  ended_ = true;
  return true;
}

bool TextBuilder::push(int32_t id) { return append(decoder_.push(id)); }

void TextBuilder::finish() {
  if (!ended_) append(decoder_.flush());
  ended_ = true;
}

size_t TextBuilder::held_back() const {
  if (ended_ || stops_.empty()) return 0;
  for (size_t length = std::min(longest_stop_ - 1, text_.size()); length > 0; --length) {
    const std::string_view tail = std::string_view(text_).substr(text_.size() - length);
    for (const std::string& stop : stops_)
      if (std::string_view(stop).starts_with(tail)) return length;
  }
  return 0;
}

std::string TextBuilder::take() {
  const size_t end = std::max(taken_, text_.size() - held_back());
  std::string piece = text_.substr(taken_, end - taken_);
  taken_ = end;
  return piece;
}

ActiveRequest::ActiveRequest(RequestId id, Request request, Callbacks callbacks,
                             const tokenizer::Tokenizer& tokenizer, int32_t vocab,
                             kv::PagePool& pages, std::unique_ptr<sample::Constraint> constraint)
    : id_(id),
      request_(std::move(request)),
      callbacks_(std::move(callbacks)),
      tokenizer_(tokenizer),
      sampler_(request_.sampling, request_.prompt_ids, vocab, std::move(constraint)),
      sequence_(pages),
      fill_rows_(prompt_rows()),
      tokens_(request_.prompt_ids),
      text_(tokenizer, request_.stop) {
  // Room for the usual answer, so that steps take no memory.
  const auto most = static_cast<size_t>(std::min(request_.max_tokens, kUsualTokens));
  tokens_.reserve(tokens_.size() + most);
  completion_.ids.reserve(most);
  completion_.cycles.reserve(most);
  text_.reserve(most);
}

int64_t ActiveRequest::positions_needed(int64_t context) const {
  // The last token that is chosen needs no row.
  return std::min<int64_t>(prompt_rows() + request_.max_tokens - 1, context);
}

void ActiveRequest::begins() {
  if (completion_.preemptions == 0) completion_.cached_rows = sequence_.length();
}

void ActiveRequest::suspend() {
  sequence_.clear();
  if (answering()) fill_rows_ = static_cast<int64_t>(tokens_.size()) - 1;
  const bool off = draft_.off;
  draft_ = {};
  draft_.off = off;
  ++completion_.preemptions;
}

std::span<const int32_t> ActiveRequest::stop_ids() const {
  if (request_.ignore_eos) return {};
  return tokenizer_.stop_ids();
}

int ActiveRequest::draft_room(int64_t context) const {
  const int64_t anchor = static_cast<int64_t>(tokens_.size()) - 1;
  const int64_t tokens_left =
      int64_t{request_.max_tokens} - static_cast<int64_t>(completion_.ids.size());
  return static_cast<int>(
      std::clamp<int64_t>(std::min(tokens_left - 1, context - 1 - anchor), 0, request_.draft_max));
}

void ActiveRequest::advance(std::span<const float> logits, int64_t context) {
  const int64_t position = sequence_.length();
  const Result<int32_t> chosen = sampler_.choose(logits, position);
  if (!chosen.ok())
    return finish(Finish::kError, fmt::format("position {}: {}", position, chosen.message()));
  first_id_ = Clock::now();
  take(chosen.value(), Origin::kPlain, logits, context);
}

void ActiveRequest::commit(const Cycle& cycle, const verify::Verdict& verdict,
                           std::span<const std::span<const float>> rows, int64_t context) {
  completion_.cycles.push_back(cycle);
  if (request_.record_confidence) {
    const draft::Block& block = draft_.block;
    completion_.confidence_logits.insert(completion_.confidence_logits.end(),
                                         block.confidence.begin(), block.confidence.end());
    completion_.certainties.insert(completion_.certainties.end(), block.certainty.begin(),
                                   block.certainty.end());
    completion_.certainties.resize(completion_.confidence_logits.size());
    completion_.confidences.insert(completion_.confidences.end(), draft_.confidence.begin(),
                                   draft_.confidence.end());
  }
  for (int i = 0; i < verdict.accepted && !finished_; ++i)
    take(draft_.block.ids[static_cast<size_t>(i)], Origin::kAccepted, rows[static_cast<size_t>(i)],
         context);
  const Origin own = cycle.verified == 0               ? Origin::kPlain
                     : cycle.accepted < cycle.verified ? Origin::kCorrected
                                                       : Origin::kBonus;
  if (verdict.next >= 0 && !finished_)
    take(verdict.next, own, rows[static_cast<size_t>(verdict.accepted)], context);
}

// A token that is now part of the answer. logits: the row that it was chosen from.
void ActiveRequest::take(int32_t id, Origin origin, std::span<const float> logits,
                         int64_t context) {
  const auto position = static_cast<int64_t>(tokens_.size());
  if (request_.logprobs > 0)
    completion_.logprobs.push_back(
        sample::top_logprobs(sampler_.allowed(logits).value(), id, request_.logprobs));
  sampler_.push(id);
  last_id_ = Clock::now();
  tokens_.push_back(id);
  completion_.ids.push_back(id);
  const auto stops = stop_ids();
  if (std::find(stops.begin(), stops.end(), id) != stops.end()) return finish(Finish::kStop);
  const bool stopped = text_.push(id);
  if (request_.trace_origins) text_ends_.emplace_back(text_.text().size(), origin);
  if (stopped) return finish(Finish::kStop);
  if (static_cast<int>(completion_.ids.size()) >= request_.max_tokens || position >= context)
    return finish(Finish::kLength);
}

void ActiveRequest::finish(Finish finish, std::string error) {
  if (finished_) return;
  finished_ = true;
  text_.finish();
  completion_.finish = finish;
  completion_.error = std::move(error);
  completion_.text = text_.text();
  if (completion_.ids.empty()) return;
  completion_.prefill_ms = milliseconds(started_, first_id_);
  completion_.decode_ms = milliseconds(first_id_, last_id_);
  if (completion_.decode_ms > 0)
    completion_.tok_per_s =
        1e3 * static_cast<double>(completion_.ids.size() - 1) / completion_.decode_ms;
}

// text: of the answer from byte `from` on. What comes at the answer's end is the last token's.
std::vector<Piece> ActiveRequest::pieces_of(const std::string& text, size_t from) {
  std::vector<Piece> pieces;
  if (text_ends_.empty()) return pieces;
  size_t done = 0, used = 0;
  for (; used < text_ends_.size() && done < text.size(); ++used) {
    const auto [end, origin] = text_ends_[used];
    const bool last = used + 1 == text_ends_.size();
    const size_t to = last ? text.size() : std::clamp(end, from + done, from + text.size()) - from;
    if (to > done) pieces.push_back({text.substr(done, to - done), origin});
    done = to;
    if (end > from + text.size()) break;  // the rest of it comes later
  }
  used = std::min(used, text_ends_.size() - 1);
  text_ends_.erase(text_ends_.begin(), text_ends_.begin() + static_cast<std::ptrdiff_t>(used));
  return pieces;
}

void ActiveRequest::report() {
  if (callbacks_.on_delta && (reported_ids_ < completion_.ids.size() || finished_)) {
    Delta delta;
    delta.ids.assign(completion_.ids.begin() + static_cast<std::ptrdiff_t>(reported_ids_),
                     completion_.ids.end());
    if (request_.logprobs > 0)
      delta.logprobs.assign(
          completion_.logprobs.begin() + static_cast<std::ptrdiff_t>(reported_ids_),
          completion_.logprobs.end());
    const size_t shown = text_.taken();
    delta.text = text_.take();
    if (request_.trace_origins) delta.pieces = pieces_of(delta.text, shown);
    if (!delta.ids.empty() || !delta.text.empty()) callbacks_.on_delta(delta);
  }
  reported_ids_ = completion_.ids.size();
  if (finished_ && callbacks_.on_finished) callbacks_.on_finished(completion_);
}

}  // namespace dspark::engine
