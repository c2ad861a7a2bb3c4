// What the commands' options share: checks that name the nearest valid word, and the options of the
// model and the engine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"

// Each file that includes CLI11 pays seconds of compiling for it.
namespace CLI {
class App;
class Option;
class Validator;
}  // namespace CLI

namespace dspark::apps {

std::vector<std::string> weight_types();  // that a matrix may have, for --quantize and --type

// Takes these words and no others.
void allow_words(CLI::Option* option, std::vector<std::string> words);

// Checks of option values; a refusal says what is valid and which valid value is nearest.
CLI::Validator whole_number(int64_t low, int64_t high);
CLI::Validator seed_number();  // 0 to 2^64 - 1
CLI::Validator real_number(double low, double high);
CLI::Validator real_above(double low);  // low itself is refused

// For the first argument that `app` could not place: "unknown option --x, the nearest is --y", or
// empty.
std::string unknown_argument(const CLI::App& app);

// Options of every command that runs a model.
struct EngineArguments {
  std::string model;  // as given: file, directory or installed name
  int threads = 0;
  std::string isa = "auto";
  std::string quantize;
  int prefill_chunk = 0;  // 0: the engine's own default
  int64_t context = 0;
  int64_t cache_mb = 0;
  // As given: file, directory, installed name, "ngram" or "none"; empty: not given, which is none
  // but where a command takes the model's own.
  std::string drafter;
  std::string planner = "auto";
  std::string verify;  // empty: coupled
  int draft_max = -1;  // -1: the drafter's own
  int draft_candidates = -1;

  engine::Options to_options() const;
  // Where no drafter was given: the model's own, if it is installed.
  void take_own_drafter();
};

void add_model(CLI::App& app, std::string& model);
// MODEL, --threads, --isa, --quantize.
void add_engine(CLI::App& app, EngineArguments& arguments);
// --prefill-chunk, --context, --cache-mb.
void add_memory(CLI::App& app, EngineArguments& arguments);
void add_drafter(CLI::App& app, EngineArguments& arguments);  // --drafter
// --trace.
void add_trace(CLI::App& app, std::string& file);
// --drafter, --planner, --verify, --draft-max, --draft-candidates.
void add_speculation(CLI::App& app, EngineArguments& arguments);

}  // namespace dspark::apps
