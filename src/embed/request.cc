#include "embed/request.h"

#include <cstring>

namespace dspark::embed {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMostRunning = 16;
constexpr int kMostTokens = 512;  // as `dspark run`
constexpr int kMostDepth = 64;    // of a chat's JSON: copies of it recurse

std::string text_or(const char* given, const char* fallback) {
  return given != nullptr ? given : fallback;
}

}  // namespace

Result<engine::Options> options_of(const dspark_engine_options& given) {
  engine::Options options;
  options.threads = given.threads;
  options.isa = text_or(given.isa, "auto");
  options.max_running = given.max_running == 0 ? kMostRunning : given.max_running;
  options.context = given.context;
  if (given.cache_bytes < 0)
    return fail("cache_bytes: {}, expected 0 (as needed) or more", given.cache_bytes);
  options.cache_bytes = static_cast<size_t>(given.cache_bytes);
  if (given.prefix_bytes != 0)
    options.prefix_bytes = static_cast<size_t>(std::max<int64_t>(given.prefix_bytes, 0));
  options.planner = text_or(given.planner, "auto");
  if (options.planner != "auto" && options.planner != "full")
    if (const auto known = verify::parse_planner(options.planner); !known.ok())
      return fail("planner: {}", known.message());
  if (given.verify != nullptr) {
    const auto mode = verify::parse_mode(given.verify);
    if (!mode.ok()) return fail("verify: {}", mode.message());
    options.verify = mode.value();
  }
  return options;
}

Result<engine::Request> settings_of(const dspark_request& given) {
  engine::Request request;
  request.max_tokens = given.max_tokens == 0 ? kMostTokens : given.max_tokens;
  request.ignore_eos = given.ignore_eos != 0;
  request.never_draft = given.no_draft != 0;
  if (given.draft_max != 0) request.draft_max = given.draft_max;
  if (given.stop_count > 0 && given.stop == nullptr) return fail("stop: a null pointer");
  for (size_t i = 0; i < given.stop_count; ++i) {
    if (given.stop[i] == nullptr) return fail("stop[{}]: a null pointer", i);
    request.stop.emplace_back(given.stop[i]);
  }
  sample::Params& sampling = request.sampling;
  sampling.temperature = given.temperature;
  sampling.top_k = given.top_k;
  sampling.top_p = given.top_p == 0 ? 1 : given.top_p;
  sampling.min_p = given.min_p;
  sampling.repeat_penalty = given.repeat_penalty == 0 ? 1 : given.repeat_penalty;
  sampling.presence_penalty = given.presence_penalty;
  sampling.frequency_penalty = given.frequency_penalty;
  sampling.seed = given.seed;
  if (given.logit_bias_count > 0 && given.logit_bias == nullptr)
    return fail("logit_bias: a null pointer");
  for (size_t i = 0; i < given.logit_bias_count; ++i)
    sampling.logit_bias.emplace_back(given.logit_bias[i].id, given.logit_bias[i].bias);
  return request;
}

Status check_prompt(const dspark_request& given) {
  const int forms = (given.text != nullptr) + (given.chat != nullptr) + (given.ids != nullptr);
  if (forms != 1) return fail("{} of text, chat and ids are set, expected one", forms);
  if (given.raw != 0 && given.text == nullptr) return fail("raw: only text can be taken as it is");
  return {};
}

Result<Json> chat_context(const char* json) {
  const auto bounded = [](int depth, Json::parse_event_t, Json&) {
    if (depth > kMostDepth) throw std::length_error(fmt::format("more than {} deep", kMostDepth));
    return true;
  };
  Json context;
  try {
    context = Json::parse(json, bounded);
  } catch (const Json::exception& error) {
    return fail("chat: no JSON: {}", error.what());
  } catch (const std::length_error& error) {
    return fail("chat: {}", error.what());
  }
  if (context.is_array()) context = Json{{"messages", std::move(context)}};
  if (!context.is_object() || !context.contains("messages") || !context["messages"].is_array())
    return fail("chat: expected a list of messages, or an object with \"messages\"");
  if (!context.contains("add_generation_prompt")) context["add_generation_prompt"] = true;
  return context;
}

Result<std::vector<int32_t>> prompt_ids(const dspark_request& given,
                                        const tokenizer::PromptEncoder& encoder) {
  if (given.ids != nullptr) return std::vector<int32_t>(given.ids, given.ids + given.id_count);
  if (given.chat != nullptr) {
    DSPARK_TRY(Json context, chat_context(given.chat));
    DSPARK_TRY(const std::string text, encoder.render(std::move(context)));
    return encoder.encode_rendered(text);
  }
  const std::string_view text(given.text,
                              given.text_bytes > 0 ? given.text_bytes : std::strlen(given.text));
  if (given.raw != 0) return encoder.encode_raw(text);
  return encoder.encode_chat(Json::array({tokenizer::message("user", text)}));
}

}  // namespace dspark::embed
