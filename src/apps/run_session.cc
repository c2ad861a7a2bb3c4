#include "apps/run_session.h"

#include <algorithm>
#include <random>

#include "apps/cost_file.h"
#include "apps/progress.h"
#include "installed/installed.h"

namespace dspark::apps {
namespace {

constexpr size_t kMostGrammarBytes = size_t{1} << 20;

// What answers may be; nullptr: anything.
Result<std::shared_ptr<const grammar::Grammar>> read_grammar(const RunArguments& arguments) {
  if (!arguments.grammar_file.empty()) {
    DSPARK_TRY(const std::string text, read_file(arguments.grammar_file, kMostGrammarBytes));
    return grammar::Grammar::from_gbnf(text, arguments.grammar_file);
  }
  if (arguments.schema_file.empty()) return std::shared_ptr<const grammar::Grammar>();
  DSPARK_TRY(const std::string text, read_file(arguments.schema_file, kMostGrammarBytes));
  DSPARK_TRY(const Json schema, parse_object(text, arguments.schema_file));
  auto made = grammar::Grammar::from_json_schema(schema);
  if (!made.ok()) return fail("{}: {}", arguments.schema_file, made.message());
  return made;
}

}  // namespace

Result<std::unique_ptr<engine::Engine>> load_engine(const EngineArguments& arguments,
                                                    engine::Options options) {
  DSPARK_TRY(const auto path, find_model(arguments.model));
  if (!options.drafter.empty() && options.drafter != "none")
    options.costs = read_costs(cost_key(path, options));
  Progress progress("loading", "MB");
  options.load_progress = [&](size_t done, size_t total) {
    progress.update(static_cast<double>(done) / 1e6, static_cast<double>(total) / 1e6);
  };
  return engine::Engine::create(path, std::move(options));
}

RunSession::RunSession(const RunArguments& arguments, std::unique_ptr<StepTrace> trace,
                       std::unique_ptr<engine::Engine> engine, RunReport report)
    : arguments_(arguments),
      trace_(std::move(trace)),
      engine_(std::move(engine)),
      encoder_(engine_->tokenizer(), engine_->info().model),
      report_(std::move(report)) {}

Result<std::unique_ptr<RunSession>> RunSession::open(const RunArguments& given) {
  RunArguments arguments = given;
  arguments.engine.take_own_drafter();
  DSPARK_TRY(auto grammar, read_grammar(arguments));
  const bool sampled = arguments.sampling.temperature > 0;
  if (sampled && !arguments.has_seed) {
    arguments.sampling.seed = std::random_device{}();  // 32 bits: short enough to type again
    fmt::print(stderr, "seed {}\n", arguments.sampling.seed);
  }
  // The output file first: a name that can't be written should not cost a run.
  DSPARK_TRY(RunReport report,
             RunReport::create(arguments.json_file, {.concurrency = arguments.concurrency,
                                                     .sampled = sampled,
                                                     .seed = arguments.sampling.seed,
                                                     .logprobs = arguments.logprobs > 0}));
  std::unique_ptr<StepTrace> trace;
  if (!arguments.trace_file.empty()) {
    DSPARK_TRY(trace, StepTrace::create(arguments.trace_file));
  }
  engine::Options options = arguments.engine.to_options();
  options.max_running = arguments.concurrency;
  if (trace != nullptr)
    options.on_step = [to = trace.get()](const engine::StepStats& step) { to->step(step); };
  DSPARK_TRY(auto engine, load_engine(arguments.engine, std::move(options)));
  DSPARK_RETURN_IF_ERROR(sample::validate(arguments.sampling, engine->info().vocab));
  report.model_loaded();
  std::unique_ptr<RunSession> session(
      new RunSession(arguments, std::move(trace), std::move(engine), std::move(report)));
  session->grammar_ = std::move(grammar);
  return session;
}

Json RunSession::conversation_start() const {
  Json messages = Json::array();
  if (arguments_.has_system) messages.push_back(tokenizer::message("system", arguments_.system));
  return messages;
}

Result<std::vector<int32_t>> RunSession::encode_prompt(std::string_view text) const {
  if (arguments_.raw) return encoder_.encode_raw(text);
  Json messages = conversation_start();
  messages.push_back(tokenizer::message("user", text));
  return encoder_.encode_chat(messages);
}

engine::Request RunSession::request(std::vector<int32_t> prompt_ids) const {
  engine::Request request;
  request.sampling = arguments_.sampling;
  const int64_t room = engine_->info().context - static_cast<int64_t>(prompt_ids.size());
  request.max_tokens = static_cast<int>(std::clamp<int64_t>(room, 1, arguments_.max_tokens));
  request.prompt_ids = std::move(prompt_ids);
  request.ignore_eos = arguments_.ignore_eos;
  request.stop = arguments_.stop;
  request.grammar = grammar_;
  request.logprobs = arguments_.logprobs;
  request.trace_origins = arguments_.show_drafts;
  return request;
}

void RunSession::warn_if_cut(const Answer& answer) {
  const auto& completion = answer.completion;
  if (completion.finish != engine::Finish::kLength ||
      static_cast<int>(completion.ids.size()) >= arguments_.max_tokens)
    return;
  report_.warn(fmt::format("{}: the answer ends at the end of the context, {} tokens",
                           to_line(answer.id), engine_->info().context));
}

std::string speed_text(const Answer& answer) {
  return fmt::format("{} tokens, {:.1f} tok/s, prompt of {} in {:.0f} ms",
                     answer.completion.ids.size(), answer.completion.tok_per_s,
                     answer.prompt_ids.size(), answer.completion.prefill_ms);
}

}  // namespace dspark::apps
