// The command data: corpora for training.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/arguments.h"
#include "apps/command.h"

namespace dspark::apps {

class RegenerateJob;

struct RegenerateArguments {
  EngineArguments engine;
  std::string prompts, out;
  std::vector<double> temperatures;
  double top_p = 1, min_p = 0;
  int top_k = 0;
  int max_tokens = 512;
  uint64_t seed = 42;
  int concurrency = 16;
  int64_t limit = 0, offset = 0;  // limit 0: all
  std::string system;
  bool has_system = false;
  bool strict = false;
};

// Its commands: regenerate and stats.
std::vector<Command> add_data(CLI::App& program);
Command add_data_regenerate(CLI::App& data);

// Answers the job's rows with the engine.
Status answer_by_engine(const RegenerateArguments& arguments, RegenerateJob& job);

}  // namespace dspark::apps
