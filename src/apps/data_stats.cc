// dspark data stats: what is in a corpus, and the draft vocabulary that it gives.
#include "apps/data_stats.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <limits>
#include <memory>

#include "apps/data.h"
#include "apps/progress.h"
#include "installed/installed.h"
#include "model/model.h"

namespace dspark::apps {
namespace {

constexpr const char* kDataStatsFooter = R"(
Rows with token ids are taken as they are; others (DeepSpec's, or from a server) are rendered with the
target's chat template, and the assistant's turns are trained on. Rows are cut and left out as training does.
--write-vocab FILE has the N most frequent tokens that are trained on, of equally frequent ones the smaller
ids: {"vocab", "draft_vocab", "coverage", "ids"}; `dspark convert --draft-vocab FILE` reads it.

Examples:
  dspark data stats corpus.jsonl
  dspark data stats corpus.jsonl --draft-vocab 8192 --write-vocab vocab.json
  dspark data stats deepspec.jsonl path/to/Qwen3-4B --taps 5 --json stats.json
)";

struct StatsArguments {
  std::string corpus, model, json_file, vocab_file;
  int draft_vocab = 0;
  int taps = 5;
  int max_length = 4096, min_loss_tokens = 14;
  bool strict = false;
};

Result<model::Spec> read_spec(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    DSPARK_TRY(const auto config, formats::JsonConfig::open(path / "config.json"));
    return model::spec_from_config(config);
  }
  DSPARK_TRY(const auto file, formats::GgufFile::open(path));
  return model::spec_from_gguf(file);
}

Result<CorpusStats> gather(const StatsArguments& arguments) {
  DSPARK_TRY(const auto path, find_model(arguments.model));
  DSPARK_TRY(const auto spec, read_spec(path));
  DSPARK_TRY(const auto tokenizer, tokenizer::Tokenizer::open(path));
  DSPARK_TRY(auto reader,
             learn::CorpusReader::open(arguments.corpus,
                                       {.max_length = static_cast<size_t>(arguments.max_length),
                                        .min_loss_tokens = arguments.min_loss_tokens,
                                        .vocab = spec.vocab,
                                        .strict = arguments.strict},
                                       tokenizer.vocab_size() > 0 ? &tokenizer : nullptr));
  CorpusStats stats(spec.vocab);
  stats.hidden = spec.hidden;
  Progress progress("reading", "rows");
  learn::Example example;
  for (;;) {
    DSPARK_TRY(const bool more, reader.next(example));
    if (!more) break;
    const auto before = stats.counts.total();
    DSPARK_RETURN_IF_ERROR(stats.counts.add(example.ids, example.loss_mask));
    stats.tokens += static_cast<int64_t>(example.ids.size());
    stats.lengths.push_back(static_cast<int64_t>(example.ids.size()));
    stats.loss_lengths.push_back(stats.counts.total() - before);
    const auto& row = reader.row();
    ++stats.finishes[row.finish.empty() ? "unknown" : row.finish];
    ++stats.temperatures[row.temperature < 0 ? "unknown" : fmt::format("{}", row.temperature)];
    progress.update(static_cast<double>(stats.lengths.size()), 0);
  }
  stats.read = reader.counts();
  return stats;
}

Status write_vocabulary(const StatsArguments& arguments, const CorpusStats& stats) {
  const auto ids = learn::draft_vocabulary(stats.counts, arguments.draft_vocab);
  const Json json = {{"vocab", stats.counts.vocab()},
                     {"draft_vocab", ids.size()},
                     {"coverage", learn::coverage(stats.counts, ids)},
                     {"ids", ids}};
  return write_file_atomically(arguments.vocab_file, to_line(json) + "\n");
}

Status stats(const StatsArguments& arguments) {
  DSPARK_TRY(const CorpusStats found, gather(arguments));
  for (const std::string& message : found.read.faults.first) log_warning("{}", message);
  if (found.read.rows == 0) return fail("{}: no row can be used", arguments.corpus);
  if (arguments.draft_vocab > found.counts.vocab())
    return fail("--draft-vocab {}: the target has {} tokens", arguments.draft_vocab,
                found.counts.vocab());
  DSPARK_RETURN_IF_ERROR(write_stdout(stats_table(found, arguments.draft_vocab, arguments.taps)));
  if (!arguments.vocab_file.empty()) DSPARK_RETURN_IF_ERROR(write_vocabulary(arguments, found));
  if (arguments.json_file.empty()) return {};
  return write_file_atomically(
      arguments.json_file, stats_json(found, arguments.draft_vocab, arguments.taps).dump(1) + "\n");
}

void add_options(CLI::App& app, StatsArguments& arguments) {
  app.add_option("CORPUS", arguments.corpus, "The corpus: JSONL")->required()->type_name("");
  add_model(app, arguments.model);
  const auto count = [&](const char* name, int& value, int low, const char* text) {
    app.add_option(name, value, text)
        ->check(whole_number(low, std::numeric_limits<int32_t>::max()))
        ->type_name("N");
  };
  count("--draft-vocab", arguments.draft_vocab, 1, "Tokens of the draft vocabulary");
  app.add_option("--write-vocab", arguments.vocab_file, "Write the draft vocabulary as JSON")
      ->type_name("FILE");
  app.add_option("--json", arguments.json_file, "Write the figures as JSON")->type_name("FILE");
  count("--taps", arguments.taps, 1, "Taps, for the size of a feature cache (default 5)");
  count("--max-length", arguments.max_length, 1, "Tokens of a row, more are cut (default 4096)");
  count("--min-loss-tokens", arguments.min_loss_tokens, 0,
        "Rows with fewer tokens to train on are left out (default 14)");
  app.add_flag("--strict", arguments.strict, "A bad row ends the work");
}

}  // namespace

Command add_data_stats(CLI::App& data) {
  CLI::App* app = data.add_subcommand("stats", "Lengths, token frequencies, draft vocabulary");
  app->footer(kDataStatsFooter);
  auto arguments = std::make_shared<StatsArguments>();
  add_options(*app, *arguments);
  return {app, [arguments]() -> int {
            if (!arguments->vocab_file.empty() && arguments->draft_vocab == 0)
              return report(kUsage, "--write-vocab needs --draft-vocab N, how many tokens it has");
            std::signal(SIGPIPE, SIG_IGN);
            const Status done = stats(*arguments);
            return done ? kSuccess : report(kFailure, done.message());
          }};
}

}  // namespace dspark::apps
