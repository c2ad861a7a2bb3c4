// dspark convert: a drafter's checkpoint from one form into another, and to another weight type.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <charconv>
#include <memory>
#include <thread>

#include "apps/arguments.h"
#include "apps/command.h"
#include "apps/json_lines.h"
#include "apps/progress.h"
#include "draft/draft.h"
#include "installed/installed.h"
#include "tokenizer/tokenizer.h"

namespace dspark::apps {
namespace {

constexpr const char* kConvertFooter = R"(
IN is a drafter: a DeepSpec checkpoint (config.json and safetensors), a GGUF file of our own form, or
one of llama.cpp's (dflash, eagle3). What the form of OUT can't hold is refused by name. --target is
needed where it must come from the target: the tokenizer in llama.cpp's form; in DeepSpec's, the rows
of the output head that a draft vocabulary leaves out, and the embedding where IN has none. Norms,
biases and the confidence head stay f32 in GGUF files. OUT appears when it is complete.

Examples:
  dspark convert checkpoints/step_latest drafter.gguf --target smollm2-135m
  dspark convert drafter.gguf small.gguf --type q8_0 --head-type q4_0 --share
  dspark convert drafter.gguf frequent.gguf --draft-vocab frequent.json --head-type q4_0
  dspark convert drafter.gguf for-llama.cpp.gguf --layout llama.cpp --target model.gguf
  dspark convert drafter.gguf checkpoint --layout deepspec --target model.gguf
)";

struct ConvertArguments {
  std::string in, out, layout, type, head_type, markov_type, target, draft_vocab;
  bool share = false;
  int candidates = -1, threads = 0;
};

// The target's file, opened once for its weights and once for its metadata.
struct Target {
  std::optional<model::WeightFile> weights;
  std::optional<formats::GgufFile> gguf;
  std::string fingerprint;
};

Result<Target> open_target(const std::string& given) {
  Target target;
  DSPARK_TRY(const auto path, find_model(given));
  DSPARK_TRY(target.weights, model::WeightFile::open(path));
  DSPARK_TRY(const auto tokens, tokenizer::Tokenizer::open(path));
  target.fingerprint = tokens.fingerprint();
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return target;
  DSPARK_TRY(target.gguf, formats::GgufFile::open(path));
  return target;
}

// Lines of ids and JSON's arrays alike, and the "ids" of an object (`data stats --write-vocab`).
Result<std::vector<int32_t>> read_ids(const std::string& path) {
  DSPARK_TRY(const std::string text, read_file(path, size_t{64} << 20));
  if (text.starts_with('{')) {
    DSPARK_TRY(const Json object, parse_object(text, path));
    return ids_at(object, "ids", path);
  }
  std::vector<int32_t> ids;
  for (size_t i = 0; i < text.size(); ++i) {
    if (std::isspace(static_cast<unsigned char>(text[i])) || text[i] == ',' || text[i] == '[' ||
        text[i] == ']')
      continue;
    int32_t id = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + text.size(), id);
    if (error != std::errc())
      return fail("{}: byte {}: expected token ids, with blanks or commas between them", path, i);
    ids.push_back(id);
    i = static_cast<size_t>(end - text.data()) - 1;
  }
  if (ids.empty()) return fail("{}: expected token ids, found none", path);
  return ids;
}

draft::Layout layout_of(const ConvertArguments& arguments) {
  if (arguments.layout == "llama.cpp") return draft::Layout::kLlamaCpp;
  if (arguments.layout == "deepspec") return draft::Layout::kDeepSpec;
  if (arguments.layout == "dspark") return draft::Layout::kDspark;
  return arguments.out.ends_with(".gguf") ? draft::Layout::kDspark : draft::Layout::kDeepSpec;
}

Status convert(const ConvertArguments& arguments) {
  DSPARK_TRY(const auto in, find_model(arguments.in));
  DSPARK_TRY(const auto drafter, draft::DrafterFile::open(in));
  draft::WriteOptions options;
  options.layout = layout_of(arguments);
  const auto type = [](const std::string& name) {
    return name.empty() ? std::nullopt : dtype_from_name(name);
  };
  options.type = type(arguments.type);
  options.head_type = type(arguments.head_type);
  options.markov_type = type(arguments.markov_type);
  options.share = arguments.share;
  if (!arguments.draft_vocab.empty()) {
    DSPARK_TRY(options.draft_ids, read_ids(arguments.draft_vocab));
  }
  if (arguments.candidates >= 0) options.candidates = arguments.candidates;
  Target target;
  if (!arguments.target.empty()) {
    DSPARK_TRY(target, open_target(arguments.target));
    options.target = &*target.weights;
    options.target_gguf = target.gguf ? &*target.gguf : nullptr;
    options.target_fingerprint = target.fingerprint;
  }
  Progress progress("converting", "MB");
  options.progress = [&](size_t done, size_t total) {
    progress.update(static_cast<double>(done) / 1e6, static_cast<double>(total) / 1e6);
  };
  ThreadPool pool(arguments.threads > 0
                      ? arguments.threads
                      : std::max(1, static_cast<int>(std::thread::hardware_concurrency())));
  auto report = draft::write_drafter(drafter, arguments.out, options, pool);
  progress.clear();
  if (!report) return report.error();
  for (const std::string& note : report->notes) log_warning("{}", note);
  fmt::print(stderr, "{}: {} tensors, {:.2f} MB\n", arguments.out, report->tensors,
             static_cast<double>(report->bytes) / 1e6);
  return {};
}

}  // namespace

Command add_convert(CLI::App& program) {
  CLI::App* app = program.add_subcommand("convert", "Turn a drafter into another form or type");
  app->footer(kConvertFooter);
  auto arguments = std::make_shared<ConvertArguments>();
  ConvertArguments& a = *arguments;
  app->add_option("IN", a.in, "The drafter: a GGUF file or a directory")
      ->required()
      ->check(CLI::Validator(check_model_name, ""))
      ->type_name("");
  app->add_option("OUT", a.out, "What to write")->required()->type_name("");
  allow_words(app->add_option("--layout", a.layout,
                              "Form of OUT (default: dspark for NAME.gguf, else deepspec)"),
              {"dspark", "llama.cpp", "deepspec"});
  allow_words(app->add_option("--type", a.type, "Type of the matrices (default: as in IN)"),
              weight_types());
  allow_words(app->add_option("--head-type", a.head_type, "Type of the output head, where another"),
              weight_types());
  allow_words(
      app->add_option("--markov-type", a.markov_type, "Type of the Markov head, where another"),
      weight_types());
  app->add_flag("--share", a.share, "Leave embedding and output head out: the target's serve");
  app->add_option("--draft-vocab", a.draft_vocab,
                  "Draft these tokens only: a file of ids, one a line, a JSON array, or what `data "
                  "stats` writes")
      ->type_name("FILE");
  app->add_option("--candidates", a.candidates,
                  "Tokens of a slot that the Markov head corrects, 0: the program's default "
                  "(default: as in IN)")
      ->check(whole_number(0, 1 << 22))
      ->type_name("N");
  app->add_option("--target", a.target, "The model that it drafts for, as for run")
      ->check(CLI::Validator(check_model_name, ""))
      ->type_name("MODEL");
  app->add_option("--threads", a.threads, "Threads (default: one a CPU)")
      ->check(whole_number(1, 1024))
      ->type_name("N");
  return {app, [arguments] {
            const Status status = convert(*arguments);
            return status.ok() ? kSuccess : report(kFailure, status.error().message);
          }};
}

}  // namespace dspark::apps
