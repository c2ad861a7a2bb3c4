// dspark info: what a model file or directory holds, without running it.
#include <CLI/CLI.hpp>
#include <csignal>
#include <memory>

#include "apps/command.h"
#include "apps/info_model.h"
#include "apps/info_text.h"
#include "formats/formats.h"
#include "installed/installed.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

namespace dspark::apps {
namespace {

constexpr const char* kInfoFooter = R"(
FILE is a GGUF file, a .safetensors file, a Hugging Face directory, or an installed model's name; a
model or a drafter.

Examples:
  dspark info model.gguf
  dspark info smollm2-135m | less
)";

void describe_tokenizer(InfoText& out, const Result<tokenizer::Tokenizer>& loaded) {
  out.heading("tokenizer");
  if (!loaded) return out.line(printable(loaded.message()));
  const tokenizer::Tokenizer& tokenizer = loaded.value();
  if (tokenizer.vocab_size() == 0) return out.line("none");
  constexpr size_t kShown = 40;
  const auto named = [&](int32_t id) {
    return fmt::format("{} {}", id, printable(std::string(tokenizer.token_text(id))));
  };
  std::vector<std::string> special, stops;
  size_t special_count = 0;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id)
    if (tokenizer.is_special(id) && ++special_count <= kShown) special.push_back(named(id));
  if (special_count > kShown) special.push_back(fmt::format("and {} more", special_count - kShown));
  for (const int32_t id : tokenizer.stop_ids()) stops.push_back(named(id));
  out.field("kind", printable(tokenizer.description()));
  out.field("begin of text",
            tokenizer.bos_id()
                ? named(*tokenizer.bos_id()) + (tokenizer.add_bos() ? ", added" : ", not added")
                : std::string("none"));
  out.field("special tokens", fmt::format("{}", fmt::join(special, ", ")));
  out.field("stop tokens", fmt::format("{}", fmt::join(stops, ", ")));
  out.heading("chat template");
  out.line(tokenizer.chat_template().empty() ? "none" : printable(tokenizer.chat_template(), true));
}

Result<std::string> describe_gguf(const std::filesystem::path& path) {
  DSPARK_TRY(const auto file, formats::GgufFile::open(path));
  InfoText out;
  out.field("file", printable(path.string()));
  out.field("format", fmt::format("GGUF v{}", file.version()));
  out.field("name", printable(file.string("general.name", std::string("none")).take()));
  out.field("architecture",
            printable(file.string("general.architecture", std::string("none")).take()));
  describe_tensor_totals(out, file.tensors());
  const std::string architecture = file.string("general.architecture", std::string()).take();
  const bool drafter = draft::is_drafter(architecture);
  out.heading(drafter ? "drafter" : "hyperparameters");
  if (drafter)
    describe_drafter(out, draft::DrafterFile::open(path));
  else
    describe_model(out, model::spec_from_gguf(file));
  out.heading("metadata");
  for (const auto& [key, value] : file.metadata())
    if (key != "tokenizer.chat_template") out.field(printable(key), metadata_text(value));
  if (!drafter || file.has("tokenizer.ggml.model"))
    describe_tokenizer(out, tokenizer::Tokenizer::from_gguf(file));
  describe_tensors(out, file.tensors());
  return out.take();
}

Result<std::string> describe_directory(const std::filesystem::path& path) {
  DSPARK_TRY(const auto config, formats::JsonConfig::open(path / "config.json"));
  DSPARK_TRY(const auto weights, formats::Safetensors::open_directory(path));
  InfoText out;
  out.field("directory", printable(path.string()));
  out.field("format", "Hugging Face, safetensors");
  const auto architectures = config.json().find("architectures");
  if (architectures != config.json().end()) out.field("architecture", json_text(*architectures));
  describe_tensor_totals(out, weights.tensors());
  const bool drafter = architectures != config.json().end() && architectures->is_array() &&
                       !architectures->empty() && architectures->front().is_string() &&
                       draft::is_drafter(architectures->front().get<std::string>());
  out.heading(drafter ? "drafter" : "hyperparameters");
  if (drafter)
    describe_drafter(out, draft::DrafterFile::open(path));
  else
    describe_model(out, model::spec_from_config(config));
  out.heading("config.json");
  for (const auto& [key, value] : config.json().items())
    out.field(printable(key), json_text(value));
  if (!drafter) describe_tokenizer(out, tokenizer::Tokenizer::from_directory(path));
  describe_tensors(out, weights.tensors());
  return out.take();
}

Result<std::string> describe_safetensors(const std::filesystem::path& path) {
  DSPARK_TRY(const auto file, formats::Safetensors::open(path));
  InfoText out;
  out.field("file", printable(path.string()));
  out.field("format", "safetensors");
  describe_tensor_totals(out, file.tensors());
  out.heading("metadata");
  for (const auto& [key, value] : file.metadata()) out.field(printable(key), shortened(value));
  describe_tensors(out, file.tensors());
  return out.take();
}

int info(const std::string& given) {
  auto path = find_model(given);
  if (!path) return report(kFailure, path.message());
  std::error_code error;
  auto text = std::filesystem::is_directory(*path, error) ? describe_directory(*path)
              : path->extension() == ".safetensors"       ? describe_safetensors(*path)
                                                          : describe_gguf(*path);
  if (!text) return report(kFailure, text.message());
  if (auto written = write_stdout(*text); !written) return report(kFailure, written.message());
  return kSuccess;
}

}  // namespace

Command add_info(CLI::App& program) {
  CLI::App* app = program.add_subcommand("info", "Describe a model file or directory");
  app->footer(kInfoFooter);
  auto file = std::make_shared<std::string>();
  app->add_option("FILE", *file, "What to describe")
      ->required()
      ->check(CLI::Validator(check_model_name, ""))
      ->type_name("");
  return {app, [file] {
            std::signal(SIGPIPE, SIG_IGN);
            return info(*file);
          }};
}

}  // namespace dspark::apps
