// What the ways to run share: the loaded engine, the prompt encoder, the report.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "apps/run.h"
#include "apps/run_report.h"
#include "apps/step_trace.h"
#include "engine/engine.h"
#include "tokenizer/tokenizer.h"

namespace dspark::apps {

// Loads with a progress bar.
Result<std::unique_ptr<engine::Engine>> load_engine(const EngineArguments& arguments,
                                                    engine::Options options);

class RunSession {
 public:
  static Result<std::unique_ptr<RunSession>> open(const RunArguments& arguments);

  const RunArguments& arguments() const { return arguments_; }
  engine::Engine& engine() { return *engine_; }
  RunReport& report() { return report_; }

  // The ids of one user message (after --system), or of raw text.
  Result<std::vector<int32_t>> encode_prompt(std::string_view text) const;
  Result<std::vector<int32_t>> encode_chat(const Json& messages) const {
    return encoder_.encode_chat(messages);
  }
  // The system message of --system, if any: how a conversation begins.
  Json conversation_start() const;

  // A request with the command line's parameters. Its max_tokens ends with the context.
  engine::Request request(std::vector<int32_t> prompt_ids) const;
  // A warning when the context, not --max-tokens, ended the answer.
  void warn_if_cut(const Answer& answer);
  // Completes the file of --trace, if there is one.
  Status finish_trace() { return trace_ != nullptr ? trace_->finish() : Status(); }

 private:
  RunSession(const RunArguments& arguments, std::unique_ptr<StepTrace> trace,
             std::unique_ptr<engine::Engine> engine, RunReport report);

  RunArguments arguments_;
  std::unique_ptr<StepTrace> trace_;                 // null: none; the engine tells it of its steps
  std::shared_ptr<const grammar::Grammar> grammar_;  // nullptr: none
  std::unique_ptr<engine::Engine> engine_;
  tokenizer::PromptEncoder encoder_;
  RunReport report_;
};

// "27 tokens, 310.2 tok/s, prompt of 35 in 21 ms" for stderr.
std::string speed_text(const Answer& answer);

}  // namespace dspark::apps
