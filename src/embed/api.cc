// The functions of dspark.h: nothing but codes leaves them.
#include <cstdlib>
#include <cstring>
#include <future>

#include "dspark/dspark.h"
#include "embed/given.h"
#include "embed/handle.h"
#include "embed/request.h"
#include "embed/result.h"
#include "installed/installed.h"

namespace dspark::embed {
namespace {

// The structs' sizes when ABI 1 began.
constexpr size_t kOptionsBytes = sizeof(dspark_engine_options);
constexpr size_t kRequestBytes = sizeof(dspark_request);
constexpr size_t kCallbacksBytes = sizeof(dspark_callbacks);

thread_local std::string last_error;

dspark_code failed(dspark_code code, std::string_view message) noexcept {
  try {
    last_error = message;
  } catch (...) {
    last_error.clear();
  }
  return code;
}

template <class Body>
dspark_code guarded(Body&& body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return failed(DSPARK_ERROR_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return failed(DSPARK_ERROR_INTERNAL, error.what());
  } catch (...) {
    return failed(DSPARK_ERROR_INTERNAL, "an unknown exception");
  }
}

dspark_code null_pointer(const char* name) {
  return failed(DSPARK_ERROR_ARGUMENT, fmt::format("{}: a null pointer", name));
}

// For dspark_free(): the bytes, and a zero behind them.
void* copied_out(const void* data, size_t bytes) {
  auto* copy = static_cast<char*>(std::malloc(bytes + 1));
  if (copy == nullptr) throw std::bad_alloc();
  if (bytes > 0) std::memcpy(copy, data, bytes);
  copy[bytes] = '\0';
  return copy;
}

dspark_code give_text(std::string_view from, char** text, size_t* bytes) {
  *text = static_cast<char*>(copied_out(from.data(), from.size()));
  if (bytes != nullptr) *bytes = from.size();
  return DSPARK_OK;
}

dspark_code open(const dspark_engine_options& given, dspark_engine** engine) {
  auto options = options_of(given);
  if (!options.ok()) return failed(DSPARK_ERROR_ARGUMENT, options.message());
  const std::string name = given.model != nullptr ? given.model : kDefaultModel;
  const auto path = find_model(name);
  if (!path.ok()) return failed(DSPARK_ERROR_LOAD, path.message());
  auto drafter = given.drafter != nullptr ? find_drafter(given.drafter)
                                          : Result<std::string>(drafter_of(name));
  if (!drafter.ok()) return failed(DSPARK_ERROR_LOAD, drafter.message());
  options.value().drafter = drafter.take();
  set_log_level(LogLevel::kOff);  // the host's stderr is the host's; dspark_state() has warnings
  auto loaded = engine::Engine::create(path.value(), options.take());
  if (!loaded.ok()) return failed(DSPARK_ERROR_LOAD, loaded.message());
  *engine = new dspark_engine(loaded.take());
  return DSPARK_OK;
}

// What a host asks for, ready for the worker; the code it must be told otherwise.
dspark_code take_request(const dspark_engine& engine, const dspark_request* given,
                         engine::Request* request) {
  if (engine.closing) return failed(DSPARK_ERROR_STATE, "the engine is closing");
  const auto own = copy_of(given, kRequestBytes, "dspark_request");
  if (!own.ok()) return failed(DSPARK_ERROR_ARGUMENT, own.message());
  if (const Status prompt = check_prompt(own.value()); !prompt.ok())
    return failed(DSPARK_ERROR_ARGUMENT, prompt.message());
  auto settings = settings_of(own.value());
  if (!settings.ok()) return failed(DSPARK_ERROR_ARGUMENT, settings.message());
  auto ids = prompt_ids(own.value(), engine.encoder);
  if (!ids.ok()) return failed(DSPARK_ERROR_REQUEST, ids.message());
  *request = settings.take();
  request->prompt_ids = ids.take();
  return DSPARK_OK;
}

dspark_code submit(dspark_engine& engine, const dspark_request* given,
                   const dspark_callbacks* callbacks, uint64_t* id) {
  const auto own = copy_of(callbacks, kCallbacksBytes, "dspark_callbacks");
  if (!own.ok()) return failed(DSPARK_ERROR_ARGUMENT, own.message());
  engine::Request request;
  if (const auto code = take_request(engine, given, &request); code != DSPARK_OK) return code;
  const auto watch = std::make_shared<Watch>(own.value(), request.prompt_ids.size(), engine.worker);
  const auto ticket = engine.worker.submit(
      std::move(request), {[watch](const engine::Delta& delta) { watch->tell(delta); },
                           [watch](const engine::Completion& done) { watch->finish(done); }});
  if (id != nullptr) *id = ticket;
  watch->submitted(ticket);
  return DSPARK_OK;
}

dspark_code generate(dspark_engine& engine, const dspark_request* given, dspark_result** result) {
  if (engine.worker.on_own_thread())
    return failed(DSPARK_ERROR_STATE, "a callback can't wait for the engine that called it");
  engine::Request request;
  if (const auto code = take_request(engine, given, &request); code != DSPARK_OK) return code;
  const size_t prompt_count = request.prompt_ids.size();
  // Shared: the engine's thread may still be leaving set_value() when this one goes on.
  const auto promise = std::make_shared<std::promise<std::unique_ptr<OwnedResult>>>();
  auto future = promise->get_future();
  engine.worker.submit(std::move(request),
                       {[](const engine::Delta&) {},
                        [promise, prompt_count](const engine::Completion& done) {
                          try {
                            promise->set_value(std::make_unique<OwnedResult>(done, prompt_count));
                          } catch (...) {
                            promise->set_exception(std::current_exception());
                          }
                        }});
  std::unique_ptr<OwnedResult> done = future.get();
  if (done->finish == DSPARK_FINISH_ERROR) return failed(DSPARK_ERROR_REQUEST, done->error);
  *result = done.release();
  return DSPARK_OK;
}

}  // namespace
}  // namespace dspark::embed

using namespace dspark::embed;  // NOLINT: what follows has C's names

uint32_t dspark_abi_version(void) { return DSPARK_ABI_VERSION; }
const char* dspark_version(void) { return DSPARK_VERSION; }
const char* dspark_last_error(void) { return last_error.c_str(); }
void dspark_free(void* pointer) { std::free(pointer); }

dspark_code dspark_open(const dspark_engine_options* options, dspark_engine** engine) {
  return guarded([&] {
    if (engine == nullptr) return null_pointer("engine");
    *engine = nullptr;
    const auto own = copy_of(options, kOptionsBytes, "dspark_engine_options");
    return own.ok() ? open(own.value(), engine) : failed(DSPARK_ERROR_ARGUMENT, own.message());
  });
}

dspark_code dspark_close(dspark_engine* engine) {
  if (engine == nullptr) return DSPARK_OK;
  if (engine->worker.on_own_thread())
    return failed(DSPARK_ERROR_STATE, "a callback can't close the engine that called it");
  engine->closing = true;
  delete engine;
  return DSPARK_OK;
}

const char* dspark_info(const dspark_engine* engine) {
  return engine != nullptr ? engine->info.c_str() : "";
}

dspark_code dspark_state(const dspark_engine* engine, char** json) {
  return guarded([&] {
    if (engine == nullptr || json == nullptr)
      return null_pointer(engine == nullptr ? "engine" : "json");
    *json = nullptr;
    return give_text(state_json(engine->worker.state()), json, nullptr);
  });
}

dspark_code dspark_tokenize(const dspark_engine* engine, const char* text, size_t bytes,
                            int parse_special, int32_t** ids, size_t* count) {
  return guarded([&] {
    if (engine == nullptr) return null_pointer("engine");
    if (ids == nullptr || count == nullptr) return null_pointer(ids == nullptr ? "ids" : "count");
    *ids = nullptr, *count = 0;
    if (text == nullptr && bytes > 0) return null_pointer("text");
    using Specials = dspark::tokenizer::Tokenizer::Specials;
    const auto& tokenizer = engine->tokenizer();
    if (tokenizer.vocab_size() == 0)
      return failed(DSPARK_ERROR_REQUEST, "the model has no tokenizer");
    const std::vector<int32_t> found =
        tokenizer.encode({text, bytes}, parse_special != 0 ? Specials::kParse : Specials::kAsText);
    *ids = static_cast<int32_t*>(copied_out(found.data(), found.size() * sizeof(int32_t)));
    *count = found.size();
    return DSPARK_OK;
  });
}

dspark_code dspark_detokenize(const dspark_engine* engine, const int32_t* ids, size_t count,
                              int show_special, char** text, size_t* bytes) {
  return guarded([&] {
    if (engine == nullptr) return null_pointer("engine");
    if (text == nullptr) return null_pointer("text");
    *text = nullptr;
    if (ids == nullptr && count > 0) return null_pointer("ids");
    const auto& tokenizer = engine->tokenizer();
    for (size_t i = 0; i < count; ++i)
      if (ids[i] < 0 || ids[i] >= tokenizer.vocab_size())
        return failed(DSPARK_ERROR_ARGUMENT,
                      fmt::format("ids[{}]: {} is not in the vocabulary of {}", i, ids[i],
                                  tokenizer.vocab_size()));
    return give_text(tokenizer.decode({ids, count}, show_special != 0), text, bytes);
  });
}

dspark_code dspark_render(const dspark_engine* engine, const char* chat, char** text,
                          size_t* bytes) {
  return guarded([&] {
    if (engine == nullptr) return null_pointer("engine");
    if (text == nullptr) return null_pointer("text");
    *text = nullptr;
    if (chat == nullptr) return null_pointer("chat");
    auto context = chat_context(chat);
    if (!context.ok()) return failed(DSPARK_ERROR_REQUEST, context.message());
    const auto rendered = engine->encoder.render(context.take());
    if (!rendered.ok()) return failed(DSPARK_ERROR_REQUEST, rendered.message());
    return give_text(rendered.value(), text, bytes);
  });
}

dspark_code dspark_submit(dspark_engine* engine, const dspark_request* request,
                          const dspark_callbacks* callbacks, uint64_t* id) {
  return guarded([&] {
    if (engine == nullptr) return null_pointer("engine");
    return submit(*engine, request, callbacks, id);
  });
}

dspark_code dspark_cancel(dspark_engine* engine, uint64_t id) {
  return guarded([&] {
    if (engine == nullptr) return null_pointer("engine");
    engine->worker.cancel(id);
    return DSPARK_OK;
  });
}

dspark_code dspark_generate(dspark_engine* engine, const dspark_request* request,
                            dspark_result** result) {
  return guarded([&] {
    if (result == nullptr) return null_pointer("result");
    *result = nullptr;
    if (engine == nullptr) return null_pointer("engine");
    return generate(*engine, request, result);
  });
}

void dspark_result_free(dspark_result* result) { delete static_cast<OwnedResult*>(result); }
