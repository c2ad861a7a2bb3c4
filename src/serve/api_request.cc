#include "serve/api_request.h"

#include <limits>
#include <random>

#include "serve/response_format.h"

namespace dspark::serve {
namespace {

constexpr int kMostChoices = 128, kMostStops = 16, kMostLogprobs = 20;
constexpr int kCompletionTokens = 16;  // OpenAI's default of /v1/completions

// Choice i of a seed; choice 0 has the seed itself.
uint64_t seed_of_choice(uint64_t seed, uint64_t choice) {
  if (choice == 0) return seed;
  uint64_t x = seed + choice * 0x9e3779b97f4a7c15;  // SplitMix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

std::vector<std::string> stops_of(Fields& fields) {
  std::vector<std::string> stops;
  const Json* value = fields.take("stop");
  if (value == nullptr) return stops;
  const auto add = [&](const Json& stop) {
    if (!stop.is_string())
      fields.fault("stop", "expected a text or a list of texts");
    else if (!stop.get_ref<const std::string&>().empty())
      stops.push_back(stop.get<std::string>());
  };
  if (value->is_array())
    for (const Json& stop : *value) add(stop);
  else
    add(*value);
  if (stops.size() > kMostStops)
    fields.fault("stop", fmt::format("{} texts, expected at most {}", stops.size(), kMostStops));
  return stops;
}

void take_bias(Fields& fields, int vocab, sample::Params& params) {
  const Json* value = fields.take("logit_bias");
  if (value == nullptr) return;
  if (!value->is_object()) return fields.fault("logit_bias", "expected an object of id: bias");
  for (const auto& [key, bias] : value->items()) {
    const bool digits =
        !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || std::stol(key) >= vocab || !bias.is_number() || !(bias >= -100 && bias <= 100))
      return fields.fault(
          "logit_bias",
          fmt::format("\"{}\": expected a token id and a bias from -100 to 100", key));
    params.logit_bias.emplace_back(static_cast<int32_t>(std::stol(key)), bias.get<float>());
  }
}
// How this request is drafted and verified, where not as the server's options say.
void take_speculation(Fields& fields, engine::Request& request) {
  const Json* speculation = fields.take("speculation");
  if (speculation == nullptr) return;
  if (!speculation->is_object()) return fields.fault("speculation", "expected an object");
  Fields own(*speculation);
  request.never_draft = own.boolean("off", false);
  request.draft_max = static_cast<int>(own.integer("draft_max", 0, 1024, request.draft_max));
  request.trace_origins = own.boolean("origins", false);
  if (const std::string name = own.text("planner", "auto"); name != "auto") {
    const auto planner = verify::parse_planner(name);
    if (!planner.ok())
      own.fault("planner", planner.message());
    else if (!verify::is_by_request(planner.value().kind))
      own.fault("planner", name + " is for all requests; of one's own: off, fixed:N, threshold:P");
    else
      request.planner = planner.value();
  }
  if (const std::string name = own.text("verify", ""); !name.empty()) {
    const auto mode = verify::parse_mode(name);
    if (!mode.ok())
      own.fault("verify", mode.message());
    else if (const Status fits = verify::check_mode(mode.value(), request.sampling); !fits.ok())
      own.fault("verify", fits.message());
    else
      request.verify = mode.value();
  }
  if (own.fault()) fields.fault("speculation." + own.fault()->param, own.fault()->message);
  for (const std::string& name : own.unknown())
    fields.fault("speculation." + name,
                 "unknown; there are off, draft_max, planner, verify and origins");
}

// OpenAI's tiers: flex is the one that may wait.
engine::LatencyClass take_latency(Fields& fields) {
  const std::string tier = fields.text("service_tier", "auto");
  constexpr std::string_view kTiers[] = {"auto", "default", "flex", "priority"};
  if (std::find(std::begin(kTiers), std::end(kTiers), tier) == std::end(kTiers))
    fields.fault("service_tier", "expected auto, default, flex or priority");
  return tier == "flex" ? engine::LatencyClass::kBackground : engine::LatencyClass::kInteractive;
}

// What both kinds of completions share.
engine::Request settings_of(Fields& fields, const ModelFacts& model) {
  engine::Request request;
  sample::Params& s = request.sampling;
  s.temperature = static_cast<float>(fields.number("temperature", 0, 100, 1));
  s.top_p = static_cast<float>(fields.number("top_p", 0, 1, 1));
  if (s.top_p == 0) s.top_p = std::numeric_limits<float>::min();  // the most likely alone
  s.top_k = static_cast<int>(fields.integer("top_k", -1, model.vocab, 0));
  if (s.top_k < 0) s.top_k = 0;
  s.min_p = static_cast<float>(fields.number("min_p", 0, 1, 0));
  s.presence_penalty = static_cast<float>(fields.number("presence_penalty", -2, 2, 0));
  s.frequency_penalty = static_cast<float>(fields.number("frequency_penalty", -2, 2, 0));
  const char* repeat = fields.has("repetition_penalty") ? "repetition_penalty" : "repeat_penalty";
  s.repeat_penalty = static_cast<float>(fields.number(repeat, 0.01, 100, 1));
  take_bias(fields, model.vocab, s);
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 4;
  s.seed = fields.has("seed") ? static_cast<uint64_t>(fields.integer("seed", -kMost, kMost, 0))
                              : std::random_device{}();
  request.stop = stops_of(fields);
  request.ignore_eos = fields.boolean("ignore_eos", false);
  request.grammar = take_grammar(fields);
  if (request.grammar != nullptr && request.ignore_eos)
    fields.fault("ignore_eos", "an answer that a grammar says ends with such a token");
  take_speculation(fields, request);
  request.latency = take_latency(fields);
  return request;
}

// Adds n choices of a prompt; max_tokens 0: as many as the context holds.
void add_choices(Job& job, Fields& fields, const engine::Request& settings,
                 std::vector<int32_t> prompt, int n, int64_t max_tokens, const ModelFacts& model,
                 const char* field) {
  if (prompt.empty()) return fields.fault(field, "no tokens");
  const auto tokens = static_cast<int64_t>(prompt.size());
  if (tokens >= model.context)
    return fields.fault(field, fmt::format("{} tokens, the context holds {} with the answer",
                                           tokens, model.context));
  job.prompt_tokens += tokens;
  const int64_t room = model.context - tokens;
  for (int i = 0; i < n; ++i) {
    engine::Request request = settings;
    request.prompt_ids = prompt;
    request.max_tokens = static_cast<int>(max_tokens > 0 ? std::min(max_tokens, room) : room);
    request.sampling.seed = seed_of_choice(settings.sampling.seed, static_cast<uint64_t>(i));
    job.requests.push_back(std::move(request));
  }
}

void take_stream(Fields& fields, Job& job) {
  job.stream = fields.boolean("stream", false);
  const Json* options = fields.take("stream_options");
  if (options == nullptr) return;
  if (!options->is_object()) return fields.fault("stream_options", "expected an object");
  if (!job.stream) return fields.fault("stream_options", "only with \"stream\": true");
  Fields own(*options);
  job.include_usage = own.boolean("include_usage", false);
  if (own.fault()) fields.fault("stream_options", own.fault()->message);
}

std::variant<Job, ApiError> finished(Job job, Fields& fields) {
  for (const char* name : {"model", "user", "store", "metadata"}) fields.take(name);
  job.ignored = fields.unknown();
  job.choices = job.requests.size();
  job.origins = job.choices > 0 && job.requests.front().trace_origins;
  if (job.origins && !job.stream) fields.fault("speculation.origins", "only with \"stream\": true");
  if (fields.fault()) return *fields.fault();
  return job;
}

bool is_ids(const Json& list) {
  return list.is_array() && !list.empty() &&
         std::all_of(list.begin(), list.end(), [](const Json& x) { return x.is_number_integer(); });
}

Json messages_of(Fields& fields) {
  const Json* messages = fields.take("messages");
  if (messages == nullptr) {
    fields.fault("messages", "missing");
    return Json::array();
  }
  if (!messages->is_array() || messages->empty())
    return fields.fault("messages", "expected a list of messages"), Json::array();
  Json list = Json::array();
  for (size_t i = 0; i < messages->size(); ++i) {
    Json message = (*messages)[i];
    const std::string place = fmt::format("messages[{}]", i);
    if (!message.is_object() || !message.contains("role") || !message["role"].is_string())
      return fields.fault(place, "expected an object with a role"), list;
    if (!message.contains("content") || message["content"].is_null()) message["content"] = "";
    read_tool_calls(message, place, fields);
    if (message["content"].is_array()) {  // parts: their texts, one after the other
      std::string text;
      for (const Json& part : message["content"]) {
        if (!part.is_object() || part.value("type", Json()) != "text" || !part.contains("text") ||
            !part["text"].is_string())
          return fields.fault(place + ".content", "only parts of type text are supported"), list;
        text += part["text"].get_ref<const std::string&>();
      }
      message["content"] = text;
    }
    if (!message["content"].is_string())
      return fields.fault(place + ".content", "expected a text or a list of parts"), list;
    list.push_back(std::move(message));
  }
  return list;
}

// The chat template's text, from the fields that it reads.
std::string rendered(Fields& fields, const Tools& tools, const ModelFacts& model) {
  Json context = {{"messages", messages_of(fields)},
                  {"add_generation_prompt", fields.boolean("add_generation_prompt", true)}};
  if (!tools.offered.is_null()) context["tools"] = tools.offered;
  if (const Json* more = fields.take("chat_template_kwargs")) {
    if (!more->is_object())
      fields.fault("chat_template_kwargs", "expected an object");
    else
      for (const auto& [name, value] : more->items())
        if (!context.contains(name)) context[name] = value;
  }
  if (fields.fault()) return {};
  const Result<std::string> text = model.encoder->render(context);
  if (!text.ok()) fields.fault("messages", text.message());
  return text.ok() ? text.value() : std::string();
}

}  // namespace

std::variant<Job, ApiError> parse_completion(const Json& body, const ModelFacts& model) {
  Fields fields(body);
  Job job;
  job.api = Api::kCompletion;
  engine::Request settings = settings_of(fields, model);
  const int n = static_cast<int>(fields.integer("n", 1, kMostChoices, 1));
  fields.integer("best_of", n, n, n);
  const int64_t max_tokens = fields.integer("max_tokens", 1, int64_t{1} << 31, kCompletionTokens);
  if (const int64_t most = fields.integer("logprobs", 0, kMostLogprobs, -1); most >= 0)
    job.wants_logprobs = true, job.top_logprobs = static_cast<int>(most);
  // The engine gives the chosen token's with at least one other.
  if (job.wants_logprobs) settings.logprobs = std::max(job.top_logprobs, 1);
  job.echo = fields.boolean("echo", false);
  take_stream(fields, job);
  if (const Json* suffix = fields.take("suffix"); suffix != nullptr && *suffix != "")
    fields.fault("suffix", "not supported");

  const Json* prompt = fields.take("prompt");
  if (prompt == nullptr) fields.fault("prompt", "missing");
  const auto add = [&](const Json& one) {
    std::vector<int32_t> ids;
    if (one.is_string()) {
      auto encoded = model.encoder->encode_raw(one.get_ref<const std::string&>());
      if (!encoded.ok()) return fields.fault("prompt", encoded.message());
      ids = encoded.take();
    } else if (is_ids(one)) {
      for (const Json& id : one) {
        if (id < 0 || id >= model.vocab)
          return fields.fault("prompt",
                              fmt::format("id {}: the vocabulary has {}", id.dump(), model.vocab));
        ids.push_back(id.get<int32_t>());
      }
    } else {
      return fields.fault("prompt", "expected a text, a list of texts, or token ids");
    }
    if (job.echo) {
      const std::string text =
          one.is_string() ? one.get<std::string>() : model.tokenizer->decode(ids, true);
      job.prompts.insert(job.prompts.end(), static_cast<size_t>(n), text);
    }
    add_choices(job, fields, settings, std::move(ids), n, max_tokens, model, "prompt");
  };
  if (prompt != nullptr && prompt->is_array() && !is_ids(*prompt)) {
    if (prompt->empty()) fields.fault("prompt", "an empty list");
    if (prompt->size() * static_cast<size_t>(n) > kMostChoices)
      fields.fault("prompt", fmt::format("more than {} choices in all", kMostChoices));
    for (const Json& one : *prompt)
      if (!fields.fault()) add(one);
  } else if (prompt != nullptr) {
    add(*prompt);
  }
  return finished(std::move(job), fields);
}

std::variant<Job, ApiError> parse_chat(const Json& body, const ModelFacts& model) {
  Fields fields(body);
  Job job;
  job.api = Api::kChat;
  engine::Request settings = settings_of(fields, model);
  const int n = static_cast<int>(fields.integer("n", 1, kMostChoices, 1));
  const char* limit = fields.has("max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
  const int64_t max_tokens = fields.integer(limit, 1, int64_t{1} << 31, 0);
  job.wants_logprobs = fields.boolean("logprobs", false);
  const int64_t top = fields.integer("top_logprobs", 0, kMostLogprobs, 0);
  if (top > 0 && !job.wants_logprobs) fields.fault("top_logprobs", "only with \"logprobs\": true");
  job.top_logprobs = static_cast<int>(top);
  if (job.wants_logprobs) settings.logprobs = std::max(job.top_logprobs, 1);
  take_stream(fields, job);
  job.tools = take_tools(fields, model.call_form);
  if (job.tools.form != CallForm::kNone && settings.grammar != nullptr)
    fields.fault("tools", "not beside a response_format of JSON or a grammar");
  if (job.tools.grammar != nullptr) {
    if (settings.ignore_eos) fields.fault("ignore_eos", "a call ends the answer");
    settings.grammar = job.tools.grammar;
  }
  const std::string text = rendered(fields, job.tools, model);
  if (!fields.fault()) {
    auto ids = model.encoder->encode_rendered(text);
    if (ids.ok())
      add_choices(job, fields, settings, ids.take(), n, max_tokens, model, "messages");
    else
      fields.fault("messages", ids.message());
  }
  return finished(std::move(job), fields);
}

std::variant<std::string, ApiError> render_chat(const Json& body, const ModelFacts& model) {
  Fields fields(body);
  const Tools tools = take_tools(fields, model.call_form);
  std::string text = rendered(fields, tools, model);
  if (fields.fault()) return *fields.fault();
  return text;
}

}  // namespace dspark::serve
