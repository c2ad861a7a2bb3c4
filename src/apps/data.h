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

  // Answers from servers, each http://HOST[:PORT][/PATH]; none: from our own engine.
  std::vector<std::string> servers;
  std::string server_model;  // empty: the first that the first server lists
  std::string api_key_env;   // the environment variable with the bearer key; empty: none is sent
  int server_timeout_s = 600;
  int server_retries = 8;
};

// Its commands: regenerate, stats and cache.
std::vector<Command> add_data(CLI::App& program);
Command add_data_regenerate(CLI::App& data);
Command add_data_stats(CLI::App& data);
Command add_data_cache(CLI::App& data);

// Answers the job's rows with the engine.
Status answer_by_engine(const RegenerateArguments& arguments, RegenerateJob& job);
// The same with --server. model: as find_server_model() gave it.
Status answer_by_servers(const RegenerateArguments& arguments, const std::string& model,
                         RegenerateJob& job);
Result<std::string> find_server_model(const RegenerateArguments& arguments);

}  // namespace dspark::apps
