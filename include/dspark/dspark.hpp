// dspark.h with C++'s manners: RAII, strings, spans, functions. Header only, C++20.
//
// What fails throws dspark::Error, which has the C function's code. Threads are as in dspark.h.
// Functions given to submit() are called on the engine's thread and must not throw: that ends the
// program. An exception out of generate()'s on_delta cancels the request and is thrown again by
// generate().
#ifndef DSPARK_DSPARK_HPP
#define DSPARK_DSPARK_HPP

#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dspark/dspark.h"

namespace dspark {

class Error : public std::runtime_error {
 public:
  Error(dspark_code code, const std::string& message) : std::runtime_error(message), code_(code) {}
  dspark_code code() const { return code_; }

 private:
  dspark_code code_;
};

// Empty texts and zeros stand for the defaults, as NULL and zeros do in dspark_engine_options.
struct EngineOptions {
  std::string model = {}, drafter = {}, planner = {}, verify = {}, isa = {};
  int threads = 0, max_running = 0;
  std::int64_t context = 0, cache_bytes = 0, prefix_bytes = 0;
};

// The prompt is one of text, chat and ids: ids where there are any, else chat where it is not
// empty, else text. Other fields are those of dspark_request.
struct Request {
  std::string text;
  bool raw = false;
  std::string chat;  // JSON
  std::vector<std::int32_t> ids;

  int max_tokens = 0;
  bool ignore_eos = false;
  std::vector<std::string> stop;
  float temperature = 0, top_p = 1, min_p = 0;
  float repeat_penalty = 1, presence_penalty = 0, frequency_penalty = 0;
  int top_k = 0;
  std::uint64_t seed = 0;
  std::vector<dspark_logit_bias> logit_bias;
  bool no_draft = false;
  int draft_max = 0;
};

struct Delta {
  std::span<const std::int32_t> ids;
  std::string_view text;
};

struct Result {
  dspark_finish finish = DSPARK_FINISH_ERROR;
  std::string error;  // where finish is DSPARK_FINISH_ERROR
  std::vector<std::int32_t> ids;
  std::string text;
  std::vector<dspark_cycle> cycles;
  std::int64_t prompt_tokens = 0, cached_tokens = 0, drafted = 0, verified = 0, accepted = 0;
  double prefill_ms = 0, decode_ms = 0;

  Result() = default;
  explicit Result(const dspark_result& r)
      : finish(r.finish),
        error(r.error),
        ids(r.ids, r.ids + r.id_count),
        text(r.text, r.text_bytes),
        cycles(r.cycles, r.cycles + r.cycle_count),
        prompt_tokens(r.prompt_tokens),
        cached_tokens(r.cached_tokens),
        drafted(r.drafted),
        verified(r.verified),
        accepted(r.accepted),
        prefill_ms(r.prefill_ms),
        decode_ms(r.decode_ms) {}
};

class Engine {
 public:
  using OnDelta = std::function<bool(const Delta&)>;  // false: cancel
  using OnFinished = std::function<void(const Result&)>;
  using Id = std::uint64_t;

  explicit Engine(const EngineOptions& options = {}) {
    dspark_engine_options own{};
    own.struct_size = sizeof own;
    own.model = text_or_null(options.model);
    own.drafter = text_or_null(options.drafter);
    own.planner = text_or_null(options.planner);
    own.verify = text_or_null(options.verify);
    own.isa = text_or_null(options.isa);
    own.threads = options.threads;
    own.max_running = options.max_running;
    own.context = options.context;
    own.cache_bytes = options.cache_bytes;
    own.prefix_bytes = options.prefix_bytes;
    dspark_engine* opened = nullptr;
    check(dspark_open(&own, &opened));
    engine_.reset(opened);
  }

  std::string info() const { return dspark_info(engine_.get()); }  // JSON
  std::string state() const {                                      // JSON
    char* json = nullptr;
    check(dspark_state(engine_.get(), &json));
    return Freed<char>(json).get();
  }

  std::vector<std::int32_t> tokenize(std::string_view text, bool parse_special = false) const {
    std::int32_t* ids = nullptr;
    std::size_t count = 0;
    check(dspark_tokenize(engine_.get(), text.data(), text.size(), parse_special, &ids, &count));
    const Freed<std::int32_t> owned(ids);
    return {ids, ids + count};
  }
  std::string detokenize(std::span<const std::int32_t> ids, bool show_special = false) const {
    char* text = nullptr;
    std::size_t bytes = 0;
    check(dspark_detokenize(engine_.get(), ids.data(), ids.size(), show_special, &text, &bytes));
    const Freed<char> owned(text);
    return {text, bytes};
  }
  // The prompt that a request with this chat (JSON) has.
  std::string render(const std::string& chat) const {
    char* text = nullptr;
    std::size_t bytes = 0;
    check(dspark_render(engine_.get(), chat.c_str(), &text, &bytes));
    const Freed<char> owned(text);
    return {text, bytes};
  }

  // Returns at once; both functions may be empty. on_finished is called exactly once.
  Id submit(const Request& request, OnDelta on_delta = {}, OnFinished on_finished = {}) {
    auto listener =
        std::make_unique<Listener>(Listener{std::move(on_delta), std::move(on_finished)});
    dspark_callbacks callbacks{};
    callbacks.struct_size = sizeof callbacks;
    callbacks.user = listener.get();
    callbacks.on_delta = &Listener::delta;
    callbacks.on_finished = &Listener::finished;
    const InC in_c(request);
    Id id = 0;
    check(dspark_submit(engine_.get(), &in_c.request, &callbacks, &id));
    listener.release();  // finished() frees it, or has already
    return id;
  }
  void cancel(Id id) { check(dspark_cancel(engine_.get(), id)); }

  // Waits for the result. Not from a callback of this engine.
  Result generate(const Request& request, const OnDelta& on_delta = {}) {
    if (!on_delta) {
      const InC in_c(request);
      dspark_result* result = nullptr;
      check(dspark_generate(engine_.get(), &in_c.request, &result));
      const std::unique_ptr<dspark_result, decltype(&dspark_result_free)> owned(
          result, &dspark_result_free);
      return Result(*result);
    }
    // Shared: the engine's thread may still be leaving set_value() when this one goes on.
    const auto promise = std::make_shared<std::promise<Result>>();
    auto future = promise->get_future();
    std::exception_ptr thrown;
    submit(
        request,
        [&](const Delta& delta) {
          try {
            return on_delta(delta);
          } catch (...) {
            thrown = std::current_exception();
            return false;
          }
        },
        [promise](const Result& result) { promise->set_value(result); });
    Result result = future.get();
    if (thrown) std::rethrow_exception(thrown);
    if (result.finish == DSPARK_FINISH_ERROR) throw Error(DSPARK_ERROR_REQUEST, result.error);
    return result;
  }

 private:
  struct Close {
    void operator()(dspark_engine* engine) const { dspark_close(engine); }
  };
  struct Free {
    void operator()(void* pointer) const { dspark_free(pointer); }
  };
  template <class T>
  using Freed = std::unique_ptr<T, Free>;

  static void check(dspark_code code) {
    if (code != DSPARK_OK) throw Error(code, dspark_last_error());
  }
  static const char* text_or_null(const std::string& text) {
    return text.empty() ? nullptr : text.c_str();
  }

  struct Listener {
    OnDelta on_delta;
    OnFinished on_finished;

    static int delta(void* user, const dspark_delta* delta) noexcept {
      const OnDelta& on_delta = static_cast<Listener*>(user)->on_delta;
      const bool goes_on =
          !on_delta || on_delta({{delta->ids, delta->id_count}, {delta->text, delta->text_bytes}});
      return goes_on ? 0 : 1;
    }
    static void finished(void* user, const dspark_result* result) noexcept {
      const std::unique_ptr<Listener> listener(static_cast<Listener*>(user));
      if (listener->on_finished) listener->on_finished(Result(*result));
    }
  };

  // A request as dspark.h has it, pointing into the one it was made of.
  struct InC {
    explicit InC(const Request& r) : request{} {
      request.struct_size = sizeof request;
      if (!r.ids.empty()) {
        request.ids = r.ids.data();
        request.id_count = r.ids.size();
      } else if (!r.chat.empty()) {
        request.chat = r.chat.c_str();
      } else {
        request.text = r.text.c_str();
        request.text_bytes = r.text.size();
        request.raw = r.raw;
      }
      for (const std::string& text : r.stop) stop.push_back(text.c_str());
      request.stop = stop.data();
      request.stop_count = stop.size();
      request.max_tokens = r.max_tokens;
      request.ignore_eos = r.ignore_eos;
      request.temperature = r.temperature;
      request.top_p = r.top_p;
      request.min_p = r.min_p;
      request.repeat_penalty = r.repeat_penalty;
      request.presence_penalty = r.presence_penalty;
      request.frequency_penalty = r.frequency_penalty;
      request.top_k = r.top_k;
      request.seed = r.seed;
      request.logit_bias = r.logit_bias.data();
      request.logit_bias_count = r.logit_bias.size();
      request.no_draft = r.no_draft;
      request.draft_max = r.draft_max;
    }
    dspark_request request;
    std::vector<const char*> stop;
  };

  std::unique_ptr<dspark_engine, Close> engine_;
};

}  // namespace dspark

#endif
