// dspark data: its group of commands.
#include "apps/data.h"

#include <CLI/CLI.hpp>

namespace dspark::apps {
namespace {

constexpr const char* kDataFooter = R"(
Examples:
  dspark data regenerate --prompts prompts.jsonl --out corpus.jsonl
  dspark data stats corpus.jsonl --draft-vocab 8192 --write-vocab vocab.json
  dspark data cache corpus.jsonl --out cache
)";

}  // namespace

std::vector<Command> add_data(CLI::App& program) {
  CLI::App* data = program.add_subcommand("data", "Make and look at corpora for training");
  data->footer(kDataFooter);
  data->allow_extras();
  return {add_data_regenerate(*data), add_data_stats(*data), add_data_cache(*data)};
}

}  // namespace dspark::apps
