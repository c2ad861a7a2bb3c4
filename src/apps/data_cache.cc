// dspark data cache: a corpus through the target, as DeepSpec's target cache.
#include <CLI/CLI.hpp>

#include <csignal>
#include <memory>

#include "apps/data.h"
#include "apps/interrupt.h"
#include "apps/progress.h"
#include "apps/run_session.h"
#include "draft/draft.h"
#include "learn/learn.h"
#include "tensor/tensor.h"

namespace dspark::apps {
namespace {

constexpr const char* kDataCacheFooter = R"(
Writes DeepSpec's cache, version 2, which its own trainer reads: token ids, masks, the taps and the last normed
rows of every token in bfloat16, 6 + 2 H (taps + 1) bytes a token. `dspark train` needs none: it makes features
as it goes. DIR appears when all is written.

Examples:
  dspark data cache corpus.jsonl --out cache
  dspark data cache deepspec.jsonl path/to/Qwen3-4B --taps 1,9,17,25,33 --out cache
)";

struct CacheArguments {
  EngineArguments engine;
  std::string corpus, out;
  std::vector<int> taps;
  int max_length = 4096, min_loss_tokens = 14;
  bool strict = false;
};

struct Row {
  std::vector<uint8_t> attention_mask;
  std::vector<uint16_t> hidden, last_hidden;  // bfloat16
};

void append(const float* values, size_t count, std::vector<uint16_t>& out) {
  for (size_t i = 0; i < count; ++i) out.push_back(f32_to_bf16(values[i]));
}

Result<Row> read_row(engine::Engine& engine, const learn::Example& example,
                     const std::vector<int>& taps) {
  Row row;
  row.attention_mask.assign(example.ids.size(), 1);
  const auto hidden = static_cast<size_t>(engine.info().hidden);
  DSPARK_RETURN_IF_ERROR(engine.read(example.ids, taps, [&](const engine::Reading& reading) {
    const auto rows = static_cast<size_t>(reading.rows);
    append(reading.taps, rows * taps.size() * hidden, row.hidden);
    append(reading.normed, rows * hidden, row.last_hidden);
  }));
  return row;
}

template <class T>
const uint8_t* bytes_of(const std::vector<T>& list) {
  return reinterpret_cast<const uint8_t*>(list.data());
}

// Rows that the corpus will give, and their tokens, for the estimate.
Result<std::pair<int64_t, int64_t>> count_tokens(const CacheArguments& arguments,
                                                 const learn::ReadOptions& options,
                                                 const tokenizer::Tokenizer& tokenizer) {
  DSPARK_TRY(auto reader, learn::CorpusReader::open(arguments.corpus, options, &tokenizer));
  int64_t rows = 0, tokens = 0;
  for (learn::Example example;; ++rows) {
    DSPARK_TRY(const bool more, reader.next(example));
    if (!more) return std::pair(rows, tokens);
    tokens += static_cast<int64_t>(example.ids.size());
  }
}

Status check_space(const std::filesystem::path& out, double bytes) {
  const auto space = free_bytes(out);
  fmt::print(stderr, "{}: {:.2f} GB\n", out.string(), bytes / 1e9);
  if (space && bytes > static_cast<double>(*space))
    return fail("{}: {:.1f} GB are needed and the disk has {:.1f} GB left", out.string(),
                bytes / 1e9, static_cast<double>(*space) / 1e9);
  return {};
}

Status write_cache(const CacheArguments& arguments) {
  engine::Options engine_options = arguments.engine.to_options();
  engine_options.max_running = 1;
  DSPARK_TRY(const auto engine, load_engine(arguments.engine, std::move(engine_options)));
  const engine::Info& info = engine->info();
  const learn::ReadOptions options{
      static_cast<size_t>(std::min<int64_t>(arguments.max_length, info.context)),
      arguments.min_loss_tokens, info.vocab, arguments.strict};
  DSPARK_TRY(const auto totals, count_tokens(arguments, options, engine->tokenizer()));
  learn::TargetCacheInfo about;
  about.target_layer_ids = arguments.taps.empty() ? draft::usual_taps(info.layers) : arguments.taps;
  about.hidden_size = info.hidden;
  about.target_name = std::filesystem::path(info.model).filename().string();
  about.sources = {std::filesystem::path(arguments.corpus).filename().string()};
  about.max_length = arguments.max_length, about.min_loss_tokens = arguments.min_loss_tokens;
  const auto width = static_cast<double>(about.feature_width() + about.hidden_size);
  DSPARK_RETURN_IF_ERROR(
      check_space(arguments.out, static_cast<double>(totals.second) * (6 + 2 * width)));
  const std::vector<int> taps = about.target_layer_ids;
  DSPARK_TRY(auto writer, learn::TargetCacheWriter::create(arguments.out, std::move(about)));
  DSPARK_TRY(auto reader,
             learn::CorpusReader::open(arguments.corpus, options, &engine->tokenizer()));
  const InterruptFlag interrupt(SecondSignal::kEndsProgram);
  Progress progress("caching", "rows");
  int64_t done = 0;
  for (learn::Example example;; ++done) {
    DSPARK_TRY(const bool more, reader.next(example));
    if (!more) break;
    if (interrupt.raised()) return fail("interrupted: {} is not written", arguments.out);
    DSPARK_TRY(const Row row, read_row(*engine, example, taps));
    DSPARK_RETURN_IF_ERROR(writer.add(
        {static_cast<int64_t>(example.ids.size()), bytes_of(example.ids), row.attention_mask.data(),
         example.loss_mask.data(), bytes_of(row.hidden), bytes_of(row.last_hidden)}));
    progress.update(static_cast<double>(done), static_cast<double>(totals.first));
  }
  DSPARK_RETURN_IF_ERROR(writer.finish());
  progress.clear();
  for (const std::string& fault : reader.counts().faults.first)
    fmt::print(stderr, "warning: {}\n", fault);
  fmt::print(stderr, "{}: {} rows, {} left out as too short, {} bad\n", arguments.out, done,
             reader.counts().short_rows, reader.counts().faults.count);
  return {};
}

}  // namespace

Command add_data_cache(CLI::App& data) {
  CLI::App* app = data.add_subcommand("cache", "Write DeepSpec's cache of target features");
  app->footer(kDataCacheFooter);
  auto arguments = std::make_shared<CacheArguments>();
  app->add_option("CORPUS", arguments->corpus, "The corpus")->required()->type_name("");
  add_engine(*app, arguments->engine);
  app->add_option("--out", arguments->out, "The folder to write")->required()->type_name("DIR");
  app->add_option("--taps", arguments->taps,
                  "Target layers, as 1,9,17 (default: five, spread evenly)")
      ->delimiter(',')
      ->type_name("L,L");
  app->add_option("--max-length", arguments->max_length, "Tokens of a row; what follows is cut off")
      ->check(whole_number(2, 1 << 20))
      ->type_name("N");
  app->add_option("--min-loss-tokens", arguments->min_loss_tokens, "Rows with fewer are left out")
      ->check(whole_number(1, 1 << 20))
      ->type_name("N");
  app->add_flag("--strict", arguments->strict, "A row that can't be used ends the work");
  return {app, [arguments] {
            const Status done = write_cache(*arguments);
            return done ? kSuccess : report(kFailure, done.message());
          }};
}

}  // namespace dspark::apps
