// What a client sends. An input that begins with one of the letters of kApis is the body of that
// API's call, any other a whole HTTP request, read with the server's limits. A body is an error
// with a message, or a job that the engine can be given, whose answers can be worded. Its field
// `answer`, which means nothing to the server, is what the model says, with calls of tools in it.
#include <unistd.h>

#include "base/file.h"
#include "serve/http_request.h"
#include "serve/reply_form.h"

namespace {

using namespace dspark;
using namespace dspark::serve;
using Parse = std::variant<Job, ApiError> (*)(const Json&, const ModelFacts&);

constexpr size_t kMostBytes = 1 << 13;
constexpr int64_t kContext = 512;
const std::pair<char, Parse> kApis[] = {
    {'c', parse_chat}, {'p', parse_completion}, {'r', parse_responses}, {'m', parse_messages}};

// Byte-level, with the control tokens of a chat; "<tool_call>" in a template makes its form known.
tokenizer::Tokenizer make_tokenizer(const std::string& chat_template) {
  Json vocab = {{"<|im_start|>", 0}, {"<|im_end|>", 1}};
  int extra = 256;
  for (int byte = 0; byte < 256; ++byte) {  // byte-level BPE's letters
    const bool shown = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
    const int code = shown ? byte : extra++;
    std::string letter;
    if (code < 0x80)
      letter = static_cast<char>(code);
    else
      letter = {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
    vocab[letter] = 2 + byte;
  }
  Json tokenizer = {{"version", "1.0"}, {"model", {{"type", "BPE"}, {"merges", Json::array()}}}};
  tokenizer["model"]["vocab"] = vocab;
  tokenizer["added_tokens"] = Json::array();
  for (const char* text : {"<|im_start|>", "<|im_end|>"})
    tokenizer["added_tokens"].push_back(
        {{"id", vocab[text]}, {"content", text}, {"special", true}, {"normalized", false}});
  tokenizer["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  tokenizer["decoder"] = {{"type", "ByteLevel"}};
  const Json config = {{"eos_token", "<|im_end|>"}, {"chat_template", chat_template}};

  char folder[] = "/tmp/fuzz_http_request_XXXXXX";
  CHECK(mkdtemp(folder) != nullptr);
  const std::filesystem::path path = folder;
  CHECK(write_file_atomically(path / "tokenizer.json", tokenizer.dump()).ok());
  CHECK(write_file_atomically(path / "tokenizer_config.json", config.dump()).ok());
  auto made = tokenizer::Tokenizer::from_directory(path);
  std::filesystem::remove_all(path);
  CHECK(made.ok());
  return made.take();
}

struct Model {
  explicit Model(const std::string& chat_template)
      : tokenizer(make_tokenizer(chat_template)),
        encoder(tokenizer, "fuzz"),
        facts{"fuzz", &tokenizer, &encoder, kContext, 258, call_form_of(tokenizer, encoder)} {}
  tokenizer::Tokenizer tokenizer;
  tokenizer::PromptEncoder encoder;
  ModelFacts facts;
};

const std::string kTurns =
    "{{ tools | tojson if tools else '' }}{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content }}{{ m.tool_calls | tojson if m.tool_calls else '' }}<|im_end|>\n{% endfor %}";

// Answers as the engine might give them: the text in two pieces, then its end.
void word_answers(const Job& job, const ModelFacts& model, const std::string& text) {
  const auto whole = make_form(job, {"0", model.name, 0, model.tokenizer});
  const auto stream = make_form(job, {"0", model.name, 0, model.tokenizer});
  engine::Completion completion;
  completion.text = text;
  completion.finish = text.size() % 2 == 0 ? engine::Finish::kStop : engine::Finish::kLength;
  const std::vector<engine::Completion> done(job.choices, completion);
  CHECK(!dump(whole->body(done)).empty());
  size_t events = stream->open().size();
  for (int choice = 0; choice < static_cast<int>(job.choices); ++choice) {
    engine::Delta delta;
    delta.text = text.substr(0, text.size() / 2);
    events += stream->delta(choice, delta).size();
    delta.text = text.substr(text.size() / 2);
    events += stream->delta(choice, delta).size();
    events += stream->finished(choice, completion).size();
  }
  CHECK(events + stream->close(done).size() > 0);
}

void read_body(Parse parse, const std::string& text) {
  static const Model kTagged(kTurns + "{# <tool_call></tool_call> #}<tool_call></tool_call>");
  static const Model kBare(kTurns + "{\"name\": \"parameters\": \"}");
  const auto body = parse_object(text, "the body");
  if (const auto* error = std::get_if<ApiError>(&body)) {
    CHECK(!error->message.empty());
    return;
  }
  for (const Model* model : {&kTagged, &kBare}) {
    const auto parsed = parse(std::get<Json>(body), model->facts);
    if (const auto* error = std::get_if<ApiError>(&parsed)) {
      CHECK(error->status == 400 && !error->message.empty() && !dump(error->json()).empty());
      continue;
    }
    const Job& job = std::get<Job>(parsed);
    CHECK(job.choices > 0 && job.choices == job.requests.size());
    for (const engine::Request& request : job.requests) {
      CHECK(!request.prompt_ids.empty() && request.max_tokens > 0);
      CHECK(static_cast<int64_t>(request.prompt_ids.size()) + request.max_tokens <= kContext);
      for (const int32_t id : request.prompt_ids) CHECK(id >= 0 && id < model->facts.vocab);
    }
    const Json answer = std::get<Json>(body).value("answer", Json());
    word_answers(job, model->facts, answer.is_string() ? answer.get<std::string>() : text);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > kMostBytes) return 0;
  const std::string input(reinterpret_cast<const char*>(data), size);
  for (const auto& [letter, parse] : kApis)
    if (input[0] == letter) {
      read_body(parse, input.substr(1));
      return 0;
    }
  RequestParser parser;
  set_limits(parser, kMostBytes / 2);
  boost::system::error_code error;
  parser.eager(true);
  parser.put(boost::asio::buffer(input), error);
  if (error || !parser.is_done()) return 0;
  const HttpRequest request = parser.release();
  CHECK(request.body().size() <= kMostBytes / 2);
  if (is_ambiguous(request)) return 0;
  read_body(parse_chat, request.body());
  return 0;
}
