// data regenerate with servers that speak the OpenAI API: --concurrency requests are under way at
// any time, dealt out over the servers.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "apps/data_job.h"
#include "apps/http_client.h"

namespace dspark::apps {
namespace {

using std::chrono::milliseconds;

constexpr auto kBetweenTicks = milliseconds(100);
constexpr double kFirstWait_s = 0.5, kLongestWait_s = 30;
constexpr uint64_t kServerSeedMask = 0x7fffffff;  // what every server takes

struct Slot {
  std::unique_ptr<HttpConnection> connection;
  const learn::Prompt* prompt = nullptr;  // null: idle
  learn::CorpusRow row;
  size_t turn = 0;
  int attempts = 0;
};

// "400: the model is not there": what a reply that is no answer says.
std::string refusal(const HttpReply& reply) {
  if (reply.status == 0) return reply.error;
  const Json json = Json::parse(reply.body, nullptr, false);
  std::string text = reply.body;
  if (json.is_object() && json.contains("error")) {
    const Json& error = json["error"];
    text =
        error.is_object() && error.contains("message") ? to_line(error["message"]) : to_line(error);
  }
  return fmt::format("status {}: {:.200}", reply.status, text);
}

bool may_pass(const HttpReply& reply) {
  return reply.status == 0 || reply.status == 408 || reply.status == 429 || reply.status >= 500;
}

// No other row will fare better.
bool concerns_all(const HttpReply& reply) {
  return reply.status == 401 || reply.status == 403 || reply.status == 404 || may_pass(reply);
}

struct ServerAnswer {
  std::string text, finish;
  int64_t tokens = 0;
};

Result<ServerAnswer> answer_of(const std::string& body) {
  const Json json = Json::parse(body, nullptr, false);
  if (!json.is_object()) return fail("the server's answer is not a JSON object");
  const auto choices = json.find("choices");
  if (choices == json.end() || !choices->is_array() || choices->empty() ||
      !choices->front().is_object())
    return fail("the server's answer: \"choices\": expected an array with an object");
  const Json& choice = choices->front();
  const Json message = choice.value("message", Json());
  const Json text = message.is_object() ? message.value("content", Json()) : Json();
  if (!text.is_string()) return fail("the server's answer: \"content\": expected a string");
  const Json finish = choice.value("finish_reason", Json());
  if (finish != "stop" && finish != "length")
    return fail("the server's answer: \"finish_reason\": expected stop or length, found {:.40}",
                to_line(finish));
  ServerAnswer answer{text.get<std::string>(), finish.get<std::string>()};
  const Json usage = json.value("usage", Json());
  const Json tokens = usage.is_object() ? usage.value("completion_tokens", Json()) : Json();
  if (tokens.is_number_integer()) answer.tokens = tokens.get<int64_t>();
  return answer;
}

Result<std::string> bearer_of(const RegenerateArguments& arguments) {
  if (arguments.api_key_env.empty()) return std::string();
  const char* key = std::getenv(arguments.api_key_env.c_str());
  if (!key || !*key)
    return fail("--api-key-env {}: the environment has no such variable", arguments.api_key_env);
  if (std::string_view(key).find_first_of("\r\n") != std::string_view::npos)
    return fail("--api-key-env {}: a key has no line breaks", arguments.api_key_env);
  return std::string(key);
}

class ServerAnswers {
 public:
  ServerAnswers(const RegenerateArguments& arguments, const std::string& model,
                const std::string& bearer, RegenerateJob& job)
      : arguments_(arguments), model_(model), job_(job) {
    for (int i = 0; i < arguments.concurrency; ++i) {
      const auto& server = arguments.servers[static_cast<size_t>(i) % arguments.servers.size()];
      slots_.push_back({});
      slots_.back().connection =
          std::make_unique<HttpConnection>(loop_, parse_http_url(server).take(), bearer,
                                           std::chrono::seconds(arguments.server_timeout_s));
    }
  }

  Status run() {
    for (Slot& slot : slots_) begin(slot);
    while (open_ > 0 && status_ && !job_.interrupted()) {
      loop_.run_for(kBetweenTicks);
      DSPARK_RETURN_IF_ERROR(job_.tick());
    }
    return status_;
  }

 private:
  void begin(Slot& slot) {
    slot.prompt = job_.next();
    if (!slot.prompt) return;
    slot.row = job_.start(*slot.prompt);
    slot.row.seed &= kServerSeedMask;
    slot.turn = 0;
    ++open_;
    next_turn(slot);
  }

  // The row is done, or left out: on to another.
  void end(Slot& slot, Status status) {
    --open_;
    slot.prompt = nullptr;
    if (!status) status_ = std::move(status);
    if (status_ && !job_.interrupted()) begin(slot);
  }

  void next_turn(Slot& slot) {
    slot.row.conversations.push_back({"user", slot.prompt->turns[slot.turn]});
    slot.attempts = 0;
    send(slot);
  }

  void send(Slot& slot) {
    Json body = {{"model", model_},
                 {"messages", messages_of(slot.row.conversations)},
                 {"temperature", slot.row.temperature},
                 {"top_p", arguments_.top_p},
                 {"max_tokens", arguments_.max_tokens},
                 {"seed", slot.row.seed},
                 {"stream", false}};
    // Not of the API itself, though common: only where they are asked for.
    if (arguments_.top_k > 0) body["top_k"] = arguments_.top_k;
    if (arguments_.min_p > 0) body["min_p"] = arguments_.min_p;
    slot.connection->post("/v1/chat/completions", to_line(body),
                          [this, &slot](HttpReply reply) { take(slot, reply); });
  }

  void take(Slot& slot, const HttpReply& reply) {
    if (reply.status == 200) {
      auto answer = answer_of(reply.body);
      return answer ? add_answer(slot, *answer)
                    : end(slot, job_.failed(*slot.prompt, answer.message()));
    }
    if (may_pass(reply) && slot.attempts < arguments_.server_retries) {
      double wait_s = std::min(kLongestWait_s, kFirstWait_s * std::exp2(slot.attempts++));
      if (reply.retry_after_s > 0) wait_s = std::min(kLongestWait_s, reply.retry_after_s);
      return loop_.after(milliseconds(static_cast<int64_t>(wait_s * 1e3)),
                         [this, &slot] { send(slot); });
    }
    const std::string message =
        fmt::format("{}: {}", slot.connection->url().text(), refusal(reply));
    if (concerns_all(reply)) return end(slot, fail("{}", message));
    if (slot.turn == 0) return end(slot, job_.failed(*slot.prompt, message));
    // A conversation that the context has no room for ends with the turn before.
    slot.row.conversations.pop_back();
    end(slot, job_.finished(*slot.prompt, slot.row));
  }

  void add_answer(Slot& slot, const ServerAnswer& answer) {
    job_.add_tokens(answer.tokens);
    slot.row.conversations.push_back({"assistant", answer.text});
    slot.row.finish = answer.finish;
    if (++slot.turn < slot.prompt->turns.size()) return next_turn(slot);
    end(slot, job_.finished(*slot.prompt, slot.row));
  }

  const RegenerateArguments& arguments_;
  const std::string& model_;
  RegenerateJob& job_;
  HttpLoop loop_;
  std::vector<Slot> slots_;  // as many as run at once; never moved once they run
  size_t open_ = 0;
  Status status_;
};

}  // namespace

Result<std::string> find_server_model(const RegenerateArguments& arguments) {
  if (!arguments.server_model.empty()) return arguments.server_model;
  DSPARK_TRY(const std::string bearer, bearer_of(arguments));
  DSPARK_TRY(HttpUrl url, parse_http_url(arguments.servers.front()));
  HttpLoop loop;
  HttpConnection connection(loop, std::move(url), bearer,
                            std::chrono::seconds(arguments.server_timeout_s));
  std::optional<HttpReply> reply;
  connection.get("/v1/models", [&](HttpReply got) { reply = std::move(got); });
  while (!reply) loop.run_for(kBetweenTicks);
  const std::string name = connection.url().text();
  if (reply->status != 200)
    return fail("{}: asked for its models: {}; --server-model names one", name, refusal(*reply));
  const Json json = Json::parse(reply->body, nullptr, false);
  const Json models = json.is_object() ? json.value("data", Json()) : Json();
  const Json first = models.is_array() && !models.empty() ? models.front() : Json();
  const Json id = first.is_object() ? first.value("id", Json()) : Json();
  if (!id.is_string())
    return fail(
        "{}: its list of models: expected \"data\" with an object that has an \"id\"; "
        "--server-model names one",
        name);
  return id.get<std::string>();
}

Status answer_by_servers(const RegenerateArguments& arguments, const std::string& model,
                         RegenerateJob& job) {
  DSPARK_TRY(const std::string bearer, bearer_of(arguments));
  return ServerAnswers(arguments, model, bearer, job).run();
}

}  // namespace dspark::apps
