// The command run: its options, and the three ways it works.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/arguments.h"
#include "sample/sample.h"

namespace dspark::apps {

class RunSession;

struct RunArguments {
  EngineArguments engine;
  bool has_prompt = false;  // --prompt was given
  std::string prompt;
  std::string prompts_file;               // empty: none
  std::string json_file;                  // empty: none
  std::string trace_file;                 // empty: none
  std::string grammar_file, schema_file;  // what answers may be; at most one, empty: none
  std::string system;
  bool has_system = false;
  bool raw = false;
  bool all_turns = false;
  bool ignore_eos = false;
  bool show_drafts = false;
  int concurrency = 1;
  int max_tokens = 512;
  int logprobs = 0;
  bool has_seed = false;  // else drawn at random when temperature > 0
  sample::Params sampling;
  std::vector<std::string> stop;
};

// Each gives false when something did not end as asked (interrupted, a request in error); an Error
// stops the program.
Result<bool> run_prompt(RunSession& session);  // run_prompt.cc
Result<bool> run_batch(RunSession& session,
                       const std::vector<struct PromptRow>& rows);  // run_batch.cc
Result<bool> run_chat(RunSession& session);                         // run_chat.cc

}  // namespace dspark::apps
