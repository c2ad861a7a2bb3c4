// dspark info: what a model file or directory holds, without running it.
#include <CLI/CLI.hpp>
#include <csignal>
#include <memory>

#include "apps/command.h"
#include "apps/info_text.h"
#include "apps/model_path.h"
#include "apps/prompt_encoder.h"
#include "formats/formats.h"
#include "model/model.h"

namespace dspark::apps {
namespace {

constexpr const char* kFooter = R"(
FILE is a GGUF file, a .safetensors file, a Hugging Face directory, or an installed model's name.

Examples:
  dspark info model.gguf
  dspark info smollm2-135m | less
)";

void describe_attention(InfoText& out, const model::Spec& s, int index) {
  const model::AttentionKind& kind = s.kinds[static_cast<size_t>(index)];
  const model::Rope& rope = kind.rope;
  std::string layers;
  if (s.kinds.size() > 1)
    layers = fmt::format(" in {} layers", std::count(s.kind_of_layer.begin(), s.kind_of_layer.end(),
                                                     static_cast<uint8_t>(index)));
  out.field("heads",
            fmt::format("{} query, {} key/value, {} wide{}{}", s.heads, kind.kv_heads,
                        kind.head_dim, kind.values_are_keys ? ", values from keys" : "", layers));
  if (kind.window > 0) out.field("window", kind.window);
  out.field("rope", fmt::format("theta {}, {} dimensions{}{}", rope.theta,
                                rope.pairs > 0 ? 2 * rope.pairs : rope.dim,
                                s.interleaved_rope ? ", interleaved rows" : "",
                                rope.scaling == model::RopeScaling::kNone
                                    ? std::string()
                                    : fmt::format(", scaled by {}", rope.factor)));
}

void describe_spec(InfoText& out, const Result<model::Spec>& spec) {
  if (!spec) return out.line("this build does not run it: " + printable(spec.message()));
  const model::Spec& s = spec.value();
  out.field("family", model::family_name(s.family));
  out.field("layers", s.layers);
  out.field("hidden", s.hidden);
  out.field("feed-forward", s.ffn);
  for (size_t k = 0; k < s.kinds.size(); ++k) describe_attention(out, s, static_cast<int>(k));
  out.field("vocabulary", s.vocab);
  out.field("context", s.context);
  out.field("norm epsilon", s.norm_eps);
  out.field("output head", s.tied_head ? "the embedding" : "its own");
}

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
  out.heading("hyperparameters");
  describe_spec(out, model::spec_from_gguf(file));
  out.heading("metadata");
  for (const auto& [key, value] : file.metadata())
    if (key != "tokenizer.chat_template") out.field(printable(key), metadata_text(value));
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
  out.heading("hyperparameters");
  describe_spec(out, model::spec_from_config(config));
  out.heading("config.json");
  for (const auto& [key, value] : config.json().items())
    out.field(printable(key), json_text(value));
  describe_tokenizer(out, tokenizer::Tokenizer::from_directory(path));
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
  app->footer(kFooter);
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
