// Public header of the room engine: requests in, tokens out, by a continuous-batching step loop.
//
// An Engine belongs to one thread, which calls submit, cancel and step. step() runs one forward
// pass over rows of every running request; requests join and leave between steps. A request's
// tokens are a function of its prompt, its parameters and the weights: never of its neighbours, of
// threads, chunks or pages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/base.h"
#include "grammar/grammar.h"
#include "sample/sample.h"
#include "tokenizer/tokenizer.h"
#include "verify/verify.h"

namespace dspark::draft {
class Drafter;
struct Place;
}  // namespace dspark::draft

namespace dspark::engine {

enum class Finish { kStop, kLength, kCancelled, kError };
const char* finish_name(Finish finish);  // "stop", "length", "cancelled", "error"

// Background requests let interactive ones go first: they join behind those, and give up their
// places in the batch and in the cache to them. One in eight that join goes as interactive.
enum class LatencyClass { kInteractive, kBackground };

struct Request {
  std::vector<int32_t> prompt_ids;  // at least one
  sample::Params sampling;
  int max_tokens = 512;           // >= 1
  bool ignore_eos = false;        // stop tokens do not end it
  std::vector<std::string> stop;  // text that ends it; not part of the text, non-empty strings
  // What the answer's text may be; nullptr: anything. Tokens that don't lead to one of its texts
  // have probability 0, in drafts too, and a stop token has it until the text is whole. Ended
  // otherwise, the text is a beginning of one. Not with ignore_eos.
  std::shared_ptr<const grammar::Grammar> grammar;
  int draft_max = std::numeric_limits<int>::max();  // most slots drafted a cycle; 0: no drafting
  LatencyClass latency = LatencyClass::kInteractive;
  bool never_draft = false;  // runs as in an engine without a drafter, at no cost of one
  // Where not as the engine's options say. A planner of its own looks at this request alone: off,
  // fixed or threshold.
  std::optional<verify::PlannerSpec> planner;
  std::optional<verify::Mode> verify;
  int logprobs = 0;                // n > 0: the n most likely tokens at every place, and the chosen
  bool record_confidence = false;  // Completion::confidences, confidence_logits, certainties
  bool trace_origins = false;      // Delta::pieces
};

// One target step of a request after its prefill: slots drafted, draft rows verified, accepted.
struct Cycle {
  int drafted = 0, verified = 0, accepted = 0;
  bool ended = false;      // by an accepted stop token: no token of the target's own came after it
  bool looked_up = false;  // its drafts were, not computed
};

// Where a token came from.
enum class Origin {
  kPlain,      // the target's, of a prompt's end or a cycle that verified nothing
  kAccepted,   // a draft that the target agreed with
  kCorrected,  // the target's, where it did not agree
  kBonus,      // the target's, after a cycle's last draft was accepted
};
// The text that a token completed, as far as it may be shown.
struct Piece {
  std::string text;
  Origin origin = Origin::kPlain;
};

// What a request was given at one step.
struct Delta {
  std::vector<int32_t> ids;  // committed tokens
  std::string text;          // whole characters that may be shown (never part of a stop string)
  std::vector<std::vector<sample::TokenLogprob>> logprobs;  // by id, when asked for
  std::vector<Piece> pieces;  // when asked for: text, token by token; none is empty
};

struct Completion {
  std::vector<int32_t> ids;  // with the stop token that ended it
  std::string text;          // without it, and without a stop string
  Finish finish = Finish::kError;
  std::string error;        // when finish is kError
  int64_t cached_rows = 0;  // of the prompt: taken from the pages of requests before
  int preemptions = 0;      // how often it gave its pages up to older requests and began again
  std::vector<Cycle> cycles;
  std::vector<float> confidence_logits;  // when asked for: raw, `drafted` of each cycle in turn
  std::vector<float> certainties;        // as many (draft::Block::certainty), 0 where there is none
  // When asked for, `drafted` of each cycle in turn: the chance of each slot that planners went by.
  std::vector<float> confidences;
  std::vector<std::vector<sample::TokenLogprob>> logprobs;  // by id: the chosen first, then the n
  double prefill_ms = 0;                                    // from its first row to its first id
  double decode_ms = 0;                                     // from the first id to the last
  double tok_per_s = 0;                                     // (ids - 1) / decode
};

using RequestId = int64_t;
struct Callbacks {  // called from step() and cancel(); may submit and cancel
  std::function<void(const Delta&)> on_delta;          // may be empty
  std::function<void(const Completion&)> on_finished;  // may be empty
};

// A running request's part in a step.
struct RequestStep {
  RequestId id = 0;
  int prompt_rows = 0;   // of its prompt's chunk
  bool decoded = false;  // it had a cycle; else, without prompt rows, it waited for the chunk
  int drafted = 0, verified = 0, accepted = 0;  // slots
  double expected_accepted = 0;                 // of the verified: the sum of their survival
  bool finished = false;                        // this was its last step
};

// The last step: its rows and time, and what the planner thought of it; for bench, metrics and
// traces. A step that was planned has requests that decode, and an engine that may draft.
struct StepStats {
  int rows = 0, requests = 0, logit_rows = 0;
  int decoding = 0;              // requests past their prompts
  int running = 0, waiting = 0;  // requests, at the step's begin
  double ms = 0;                 // the whole step
  double forward_ms = 0;         // the target's part
  double draft_ms = 0;           // drafting, context rows included
  double absorb_ms = 0;          // of that: rows that became the drafter's behind the step
  double plan_ms = 0;            // verify lengths
  double verify_ms = 0;          // acceptance and sampling
  int drafted = 0, verified = 0, accepted = 0;  // slots, of all requests
  int tokens = 0;                               // committed by those that decode
  bool planned = false;
  double predicted_ms = 0;     // by the cost table; to be compared with ms - absorb_ms
  double expected_tokens = 0;  // to be compared with tokens
  int budget = 0;              // draft rows that the plan allows
  int lag = 0;                 // how many steps before this one the budget's confidences are from
  std::span<const RequestStep> by_request;  // all running ones; until the next step
};

struct Options {
  int threads = 0;                // 0: one a CPU of the affinity mask
  std::string isa = "auto";       // "ref", "avx2", "avx512", "auto"
  std::optional<DType> quantise;  // see model::LoadOptions
  int max_running = 64;           // requests in the batch; more wait
  int prefill_chunk = 256;        // most prompt rows of a step; beside others that decode: 64
  int64_t context = 0;            // most positions of a request; 0: the model's
  size_t cache_bytes = 0;         // key/value cache; 0: a quarter of the machine's memory at most
  // Most bytes of cache pages that are kept for prompts to come that begin alike; 0: none.
  size_t prefix_bytes = size_t{256} << 20;
  bool pin_threads = false;
  // Called at the end of each step, on the engine's thread; must not call the engine.
  std::function<void(const StepStats&)> on_step;
  std::function<void(size_t done_bytes, size_t total_bytes)> load_progress;

  // Speculation. drafter: "" or "none", "ngram", a GGUF file or a Hugging Face directory,
  // or one of these with "+ngram" behind it: blocks are looked up where that promises more.
  std::string drafter;
  // A drafter of the host's own, made for its place beside the target, instead of one by name.
  std::function<std::unique_ptr<draft::Drafter>(const draft::Place&)> make_drafter;
  // See verify::parse_planner; auto: the best that the mode allows; full: every draft is verified.
  std::string planner = "auto";
  verify::Mode verify = verify::Mode::kCoupled;  // at temperature 0 that is greedy
  int draft_max = std::numeric_limits<int>::max();
  int draft_candidates = -1;  // see draft::DrafterOptions
  // What rows and drafts cost here, by a profile; without it planners begin with a usual shape and
  // learn from the first steps on.
  std::optional<verify::CostPoints> costs;
};

// What the engine is; fixed after load.
struct Info {
  std::string model, architecture, isa;
  int threads = 0;
  int64_t context = 0;  // positions a request may have
  int vocab = 0, layers = 0, hidden = 0;
  size_t weight_bytes = 0, cache_bytes = 0;
  int64_t layer_weights = 0,
          head_weights = 0;   // values in the layers' matrices, in the output head
  size_t position_bytes = 0;  // cache bytes of one position
  double load_ms = 0;
  std::string drafter = "none", planner = "off", verify;
  int draft_slots = 0;                // most drafts of a cycle; 0 without a drafter
  size_t drafter_bytes = 0;           // its packed matrices, borrowed ones not counted
  std::vector<std::string> warnings;  // said in the log since, each once
};

// Mean negative log-likelihood and the most likely next tokens, for `score`.
struct Score {
  double nll = 0;  // mean of -log p(ids[t] | ids[<t]) over t >= 1; 0 for one id
  std::vector<std::pair<int32_t, float>> top;  // (id, logit), 20 at the last position
};

// Consecutive rows of a text that the target reads, for features and scores.
struct Reading {
  int64_t position = 0;  // of the first row
  int rows = 0;
  const float* taps = nullptr;                 // [rows, tap layers, hidden]
  const float* normed = nullptr;               // [rows, hidden]: what the output head reads
  std::vector<std::span<const float>> logits;  // [rows], each [vocab]
};

// Who is there now, and what the cache holds; for metrics.
struct Load {
  int running = 0, waiting = 0;
  int64_t pages = 0, free_pages = 0, known_pages = 0;  // known: as beginnings of texts
};

class Engine {
 public:
  // model: a GGUF file or a Hugging Face directory.
  static Result<std::unique_ptr<Engine>> create(const std::filesystem::path& model,
                                                Options options);
  ~Engine();

  const tokenizer::Tokenizer& tokenizer() const;
  const Info& info() const;

  // An error when the request can never run (empty prompt, an id outside the vocabulary, parameters
  // out of range, more positions than the context or the cache holds, a grammar that can't end).
  Result<RequestId> submit(Request request, Callbacks callbacks);
  void cancel(RequestId id);  // finishes it now as kCancelled; unknown ids are ignored
  // Most slots drafted a cycle from the next step on; 0 switches drafting off, and it may be
  // switched on again. Never changes the text. Unknown ids are ignored.
  void set_draft_max(RequestId id, int slots);
  // While idle. Another planner from now on, as in Options. Without a drafter nothing happens.
  Status set_planner(const std::string& planner);
  // What makes confidences of a request with these parameters true; nullptr: they stay raw.
  const verify::ModeCalibration* calibration(const sample::Params& sampling) const;
  bool step();  // one step; false when nothing was left to do
  bool idle() const;
  const StepStats& last_step() const;
  Load load() const;
  // What planners count with; nullptr without a drafter.
  const verify::CostTable* costs() const;
  // The same for acceptance, and how true it has lately been: of requests at temperature 0, or of
  // the others; nullptr without a drafter.
  const verify::OnlineConfidence* confidence(bool greedy) const;

  // While idle: every page, row and request accounted for? An error names what is not.
  Status check_integrity() const;

  // While idle. Runs ids through the target and hands out its rows, in order; what a Reading points
  // to lives until visit returns. tap_layers: ascending, -1 is the embedding output, l the output
  // of layer l. An error when ids are invalid or too many, or an activation is not finite.
  Status read(const std::vector<int32_t>& ids, const std::vector<int>& tap_layers,
              const std::function<void(const Reading&)>& visit);
  // While idle. An error when ids are invalid or too many.
  Result<Score> score(const std::vector<int32_t>& ids);

  // Milliseconds of the matrix products of one step over `rows` rows alone, every matrix once; for
  // bench.
  double time_matrices_ms(int rows, int repetitions);
  // GB/s of reading a buffer of the weights' size with the engine's threads; for bench.
  double stream_read_gb_per_s();

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dspark::engine
