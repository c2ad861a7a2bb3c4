// How each API words what comes out of the engine: whole bodies, and the events of a stream.
#pragma once

#include <memory>

#include "serve/api_request.h"

namespace dspark::serve {

// One server-sent event; without a name only its data is sent.
struct StreamEvent {
  std::string name, data;
};
using StreamEvents = std::vector<StreamEvent>;

// What all replies to one call share.
struct ReplyContext {
  std::string id;  // without the API's prefix
  std::string model;
  int64_t created_unix_s = 0;
  const tokenizer::Tokenizer* tokenizer = nullptr;
};

// One call's. A stream is open(), then delta() and finished() as they come, each choice's in order,
// then close(); fault() may take the place of what is left.
class ReplyForm {
 public:
  ReplyForm(const Job& job, ReplyContext context) : job_(job), context_(std::move(context)) {}
  virtual ~ReplyForm() = default;

  virtual Json body(const std::vector<engine::Completion>& done) = 0;
  virtual StreamEvents open() = 0;
  virtual StreamEvents delta(int choice, const engine::Delta& delta) = 0;
  virtual StreamEvents finished(int choice, const engine::Completion& completion) = 0;
  virtual StreamEvents close(const std::vector<engine::Completion>& done) = 0;
  virtual StreamEvents fault(const ApiError& error);

 protected:
  // A call of a function, the choice's index-th.
  std::string call_id(size_t choice, size_t index) const;

  const Job& job_;  // lives as long as the call; its requests do not
  ReplyContext context_;
};

// That of the job's API.
std::unique_ptr<ReplyForm> make_form(const Job& job, ReplyContext context);
std::unique_ptr<ReplyForm> completion_form(const Job& job, ReplyContext context);
std::unique_ptr<ReplyForm> responses_form(const Job& job, ReplyContext context);
std::unique_ptr<ReplyForm> messages_form(const Job& job, ReplyContext context);

// What usage says of all of a call's choices.
struct Usage {
  explicit Usage(const std::vector<engine::Completion>& done);
  int64_t tokens = 0, cached = 0, cycles = 0, drafted = 0, verified = 0, accepted = 0;
  Json speculation() const;
};

// {"tokens", "pieces": [{"text", "origin"}]}: what speculation.origins asks for.
Json origins_json(const engine::Delta& delta);

}  // namespace dspark::serve
