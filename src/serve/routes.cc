#include "serve/routes.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>

namespace dspark::serve {
namespace {

// Compares in a time that does not depend on where they differ.
bool same_key(const std::string& given, const std::string& key) {
  unsigned char differs = given.size() != key.size();
  for (size_t i = 0; i < given.size(); ++i)
    differs |= static_cast<unsigned char>(given[i] ^ key[i % std::max<size_t>(key.size(), 1)]);
  return differs == 0;
}

std::string given_key(const HttpRequest& request) {
  constexpr std::string_view kBearer = "Bearer ";
  const std::string value(request[http::field::authorization]);
  if (value.starts_with(kBearer)) return value.substr(kBearer.size());
  return std::string(request["x-api-key"]);
}

std::string path_of(const HttpRequest& request) {
  const std::string target(request.target());
  return target.substr(0, target.find('?'));
}

// What the client calls its request, where that is a plain word.
std::string given_id(const HttpRequest& request) {
  const std::string id(request["x-request-id"]);
  const bool plain = id.size() <= 128 && std::all_of(id.begin(), id.end(), [](char c) {
                       return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' ||
                              c == '_' || c == '.' || c == ':';
                     });
  return plain ? id : std::string();
}

// Routes that are asked every few seconds: what they answer well is not worth a line.
bool is_poll(const std::string& route) {
  return route == "/health" || route == "/metrics" || route == "/v1/dspark/state";
}

std::string utc_now() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:03}Z", text, ms);
}

// A POST's; of other methods nothing is looked at.
std::variant<Json, ApiError> body_of(const HttpRequest& request) {
  if (request.method() != http::verb::post) return Json();
  return parse_object(request.body(), "the body");
}

Json confidence_json(const WorkerState::Confidence& c) {
  return {{"slots", c.slots}, {"ece", c.ece}, {"learned", c.learned}};
}

}  // namespace

Served::Served(std::unique_ptr<engine::Engine> engine, const std::string& name,
               asio::any_io_executor server)
    : outbox(std::move(server)),
      worker(std::move(engine), [this] { outbox.send(); }),
      encoder(worker.engine().tokenizer(), name),
      facts{name,
            &worker.engine().tokenizer(),
            &encoder,
            worker.engine().info().context,
            worker.engine().info().vocab,
            call_form_of(worker.engine().tokenizer(), encoder)} {}

const std::map<std::string, Routes::Route>& Routes::table() {
  using http::verb;
  static const std::map<std::string, Route> routes = {
      {"/health", {verb::get, &Routes::health, true, false}},
      {"/metrics", {verb::get, &Routes::show_metrics, false, false}},
      {"/v1/models", {verb::get, &Routes::models}},
      {"/v1/dspark/state", {verb::get, &Routes::state}},
      {"/v1/completions", {verb::post, &Routes::completions}},
      {"/v1/chat/completions", {verb::post, &Routes::chat}},
      {"/v1/responses", {verb::post, &Routes::responses}},
      {"/v1/messages", {verb::post, &Routes::messages}},
      {"/tokenize", {verb::post, &Routes::tokenize}},
      {"/detokenize", {verb::post, &Routes::detokenize}},
      {"/apply-template", {verb::post, &Routes::apply_template}},
  };
  return routes;
}

std::optional<ApiError> Routes::refusal(const HttpRequest& request, const Route& route,
                                        CallRecord& record) const {
  if (!route.open && !options_.keys.empty()) {
    const std::string given = given_key(request);
    for (size_t i = 0; i < options_.keys.size(); ++i)
      if (same_key(given, options_.keys[i])) record.key = static_cast<int>(i);
    if (record.key < 0)
      return ApiError{.status = 401,
                      .message = "wrong or missing API key",
                      .type = "authentication_error",
                      .code = "invalid_api_key"};
  }
  const bool matches = request.method() == route.verb ||
                       (route.verb == http::verb::get && request.method() == http::verb::head);
  if (!matches)
    return ApiError{.status = 405,
                    .message = fmt::format("{}: expected {}", path_of(request),
                                           std::string(http::to_string(route.verb)))};
  if (route.needs_model && served_ == nullptr)
    return ApiError{
        .status = 503, .message = "the model is being loaded", .type = "unavailable_error"};
  return {};
}

Headers Routes::cors_headers(const HttpRequest& request) const {
  const std::string origin(request[http::field::origin]);
  for (const std::string& allowed : options_.cors_origins)
    if (allowed == "*" || (!origin.empty() && allowed == origin))
      return {{"Access-Control-Allow-Origin", allowed},
              {"Access-Control-Allow-Headers", "authorization, content-type, x-api-key"},
              {"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
              {"Access-Control-Expose-Headers", "X-Request-Id, X-Dspark-Ignored"},
              {"Vary", "Origin"}};
  return {};
}

asio::awaitable<void> Routes::handle(Connection& connection, const HttpRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  std::string id = given_id(request);
  if (id.empty()) id = next_id();
  connection.begin(request, std::move(id), cors_headers(request));
  const std::string route = co_await dispatch(connection, request);
  metrics_.replied(route, connection.status());
  if (!options_.log_line || (is_poll(route) && connection.status() == 200)) co_return;
  const CallRecord& record = connection.record();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  Json line = {{"time", utc_now()},
               {"id", record.id},
               {"method", std::string(request.method_string())},
               {"route", route},
               {"status", connection.status()},
               {"ms", std::round(took.count() * 1000) / 1000}};
  if (record.prompt_tokens > 0) {
    line["prompt_tokens"] = record.prompt_tokens;
    line["tokens"] = record.tokens;
  }
  if (connection.lost() || connection.status() == 0) line["left"] = true;
  options_.log_line(dump(line));
}

asio::awaitable<std::string> Routes::dispatch(Connection& connection, const HttpRequest& request) {
  const std::string path = path_of(request);
  for (const PageFile& file : page_files())
    if (path == file.path) {
      co_await page(connection, request, file);
      co_return path;
    }
  const auto found = table().find(path);
  if (found == table().end()) {
    const ApiError error{.status = 404, .message = "no such path", .type = "not_found_error"};
    co_await connection.reply(error);
    co_return "other";
  }
  if (request.method() == http::verb::options && !options_.cors_origins.empty()) {
    co_await connection.reply(204, "", "");
    co_return path;
  }
  if (const auto error = refusal(request, found->second, connection.record())) {
    Headers headers;
    if (error->status == 405)
      headers.emplace_back("Allow", std::string(http::to_string(found->second.verb)));
    if (error->status == 401) headers.emplace_back("WWW-Authenticate", "Bearer");
    if (error->status == 503) headers.emplace_back("Retry-After", "1");
    co_await connection.reply(*error, std::move(headers));
    co_return path;
  }
  const auto body = body_of(request);
  if (const auto* fault = std::get_if<ApiError>(&body))
    co_await connection.reply(*fault);
  else
    co_await (this->*found->second.call)(connection, std::get<Json>(body));
  co_return path;
}

std::string Routes::next_id() {
  const auto now = static_cast<uint64_t>(std::time(nullptr));
  return fmt::format("{:016x}", now << 24 | (++last_id_ & 0xffffff));
}

asio::awaitable<void> Routes::health(Connection& connection, const Json&) {
  const char* status = draining_ ? "stopping" : served_ == nullptr ? "loading" : "ok";
  const bool well = served_ != nullptr && !draining_;
  const Json json = {{"status", status}};
  co_await connection.reply(well ? 200 : 503, json);
}

asio::awaitable<void> Routes::models(Connection& connection, const Json&) {
  const ModelFacts& model = served_->facts;
  const engine::Info& info = served_->worker.engine().info();
  const Json entry = {{"id", model.name},
                      {"object", "model"},
                      {"created", 0},
                      {"owned_by", "dspark"},
                      {"max_model_len", model.context},
                      {"meta",
                       {{"architecture", info.architecture},
                        {"vocab", model.vocab},
                        {"drafter", info.drafter},
                        {"draft_slots", info.draft_slots}}}};
  const Json json = {{"object", "list"}, {"data", Json::array({entry})}};
  co_await connection.reply(200, json);
}

asio::awaitable<void> Routes::show_metrics(Connection& connection, const Json&) {
  const WorkerState worker = served_ == nullptr ? WorkerState() : served_->worker.state();
  co_await connection.reply(200, metrics_.text(worker), "text/plain; version=0.0.4");
}

asio::awaitable<void> Routes::state(Connection& connection, const Json&) {
  const WorkerState w = served_->worker.state();
  const engine::Info& info = served_->worker.engine().info();
  const std::chrono::duration<double> uptime = std::chrono::steady_clock::now() - start_;
  const Json json = {
      {"model", served_->facts.name},
      {"uptime_s", uptime.count()},
      {"context", info.context},
      {"drafter", info.drafter},
      {"draft_slots", info.draft_slots},
      {"planner", info.planner},
      {"verify", info.verify},
      {"running", w.running},
      {"waiting", w.waiting},
      {"generations", metrics_.generations},
      {"cache", {{"pages", w.pages}, {"free", w.free_pages}, {"known", w.known_pages}}},
      {"confidence",
       {{"greedy", confidence_json(w.confidence[0])},
        {"sampled", confidence_json(w.confidence[1])}}},
      {"prompt_tokens", w.prompt_tokens},
      {"tokens", w.tokens},
      {"steps", w.steps},
      {"step_seconds", w.step_seconds},
      {"rows", w.rows},
      {"drafted", w.drafted},
      {"verified", w.verified},
      {"accepted", w.accepted},
      {"preemptions", w.preemptions}};
  co_await connection.reply(200, json);
}

asio::awaitable<void> Routes::tokenize(Connection& connection, const Json& body) {
  Fields fields(body);
  // llama-server's name for the text, then vLLM's.
  const char* name = fields.has("prompt") ? "prompt" : "content";
  if (!fields.has(name)) fields.fault(name, "missing");
  const std::string text = fields.text(name, "");
  const bool special = fields.boolean("parse_special", true);
  if (fields.fault()) {
    co_await connection.reply(*fields.fault());
    co_return;
  }
  using Specials = tokenizer::Tokenizer::Specials;
  const auto ids =
      served_->facts.tokenizer->encode(text, special ? Specials::kParse : Specials::kAsText);
  const Json json = {{"tokens", ids}, {"count", ids.size()}};
  co_await connection.reply(200, json);
}

asio::awaitable<void> Routes::detokenize(Connection& connection, const Json& body) {
  Fields fields(body);
  std::vector<int32_t> ids;
  const Json* tokens = fields.take("tokens");
  if (tokens == nullptr || !tokens->is_array()) {
    fields.fault("tokens", "expected a list of token ids");
  } else {
    for (const Json& id : *tokens) {
      if (!id.is_number_integer() || id < 0 || id >= served_->facts.vocab) {
        fields.fault("tokens", fmt::format("{}: the vocabulary has ids from 0 to {}", id.dump(),
                                           served_->facts.vocab - 1));
        break;
      }
      ids.push_back(id.get<int32_t>());
    }
  }
  if (fields.fault()) {
    co_await connection.reply(*fields.fault());
    co_return;
  }
  const std::string text = served_->facts.tokenizer->decode(ids, true);
  const Json json = {{"content", text}, {"prompt", text}};
  co_await connection.reply(200, json);
}

asio::awaitable<void> Routes::apply_template(Connection& connection, const Json& body) {
  const auto text = render_chat(body, served_->facts);
  if (const auto* error = std::get_if<ApiError>(&text)) {
    co_await connection.reply(*error);
    co_return;
  }
  const Json json = {{"prompt", std::get<std::string>(text)}};
  co_await connection.reply(200, json);
}

asio::awaitable<void> Routes::completions(Connection& connection, const Json& body) {
  auto job = parse_completion(body, served_->facts);
  co_await generate(connection, std::move(job));
}

asio::awaitable<void> Routes::chat(Connection& connection, const Json& body) {
  auto job = parse_chat(body, served_->facts);
  co_await generate(connection, std::move(job));
}

asio::awaitable<void> Routes::responses(Connection& connection, const Json& body) {
  auto job = parse_responses(body, served_->facts);
  co_await generate(connection, std::move(job));
}

asio::awaitable<void> Routes::messages(Connection& connection, const Json& body) {
  auto job = parse_messages(body, served_->facts);
  co_await generate(connection, std::move(job));
}

asio::awaitable<void> Routes::page(Connection& connection, const HttpRequest& request,
                                   const PageFile& file) {
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    const ApiError error{.status = 405, .message = fmt::format("{}: expected GET", file.path)};
    Headers allow = {{"Allow", "GET"}};
    co_await connection.reply(error, std::move(allow));
    co_return;
  }
  // Nothing but this server's own files runs, and no other page may hold this one.
  Headers headers = {{"Content-Security-Policy",
                      "default-src 'none'; script-src 'self'; style-src 'self'; connect-src "
                      "'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                      "frame-ancestors 'none'"},
                     {"X-Content-Type-Options", "nosniff"},
                     {"Referrer-Policy", "no-referrer"},
                     {"Cache-Control", "no-cache"}};
  co_await connection.reply(200, std::string(file.content), file.type, std::move(headers));
}

}  // namespace dspark::serve
