#include "apps/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "installed/installed.h"
#include "tensor/tensor.h"

namespace dspark::apps {
namespace {

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

std::string out_of_range(const std::string& text, const std::string& range, std::string nearest) {
  return fmt::format("'{}' is not {}; the nearest valid value is {}", text, range, nearest);
}

// The whole of text as a finite number of single precision, which every parameter has; false
// otherwise.
bool parse_real(const std::string& text, double* value) {
  if (text.empty() || std::isspace(static_cast<unsigned char>(text.front()))) return false;
  char* end = nullptr;
  *value = std::strtof(text.c_str(), &end);
  return *end == '\0' && std::isfinite(*value);
}

}  // namespace

std::vector<std::string> weight_types() {
  std::vector<std::string> names;
  for (int i = 0; i <= static_cast<int>(DType::kBool); ++i) {
    const DTypeInfo& info = dtype_info(static_cast<DType>(i));
    if (info.is_weight) names.emplace_back(info.name);
  }
  return names;
}

void allow_words(CLI::Option* option, std::vector<std::string> words) {
  auto check = [words](std::string& text) -> std::string {
    if (std::find(words.begin(), words.end(), text) != words.end()) return {};
    if (words.size() == 1)
      return fmt::format("'{}' is not available in this build; the only value is {}", text,
                         words[0]);
    return fmt::format("unknown value '{}', the nearest is {} (of {})", text,
                       nearest_word(text, words), joined(words));
  };
  option->check(CLI::Validator(check, ""));
  option->type_name(fmt::format("{{{}}}", fmt::join(words, ",")));
}

CLI::Validator whole_number(int64_t low, int64_t high) {
  auto check = [low, high](std::string& text) -> std::string {
    char* end = nullptr;
    errno = 0;
    const int64_t value = std::strtoll(text.c_str(), &end, 10);
    const std::string range = high == std::numeric_limits<int64_t>::max()
                                  ? fmt::format("a whole number from {} on", low)
                                  : fmt::format("a whole number from {} to {}", low, high);
    if (text.empty() || *end != '\0' || std::isspace(static_cast<unsigned char>(text.front())))
      return fmt::format("'{}' is not {}", text, range);
    if (errno == 0 && value >= low && value <= high) {
      text = fmt::format("{}", value);  // decimal: a leading zero does not mean octal
      return {};
    }
    return out_of_range(text, range, fmt::format("{}", std::clamp(value, low, high)));
  };
  return CLI::Validator(check, "");
}

CLI::Validator seed_number() {
  auto check = [](std::string& text) -> std::string {
    const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    errno = 0;
    const uint64_t value = digits ? std::strtoull(text.c_str(), nullptr, 10) : 0;
    if (!digits || errno != 0)
      return fmt::format("'{}' is not a whole number from 0 to {}", text,
                         std::numeric_limits<uint64_t>::max());
    text = fmt::format("{}", value);
    return {};
  };
  return CLI::Validator(check, "");
}

CLI::Validator real_number(double low, double high) {
  auto check = [low, high](std::string& text) -> std::string {
    const std::string range = high == std::numeric_limits<double>::max()
                                  ? fmt::format("a number from {} on", low)
                              : low == std::numeric_limits<double>::lowest()
                                  ? std::string("a finite number")
                                  : fmt::format("a number from {} to {}", low, high);
    double value = 0;
    if (!parse_real(text, &value)) return fmt::format("'{}' is not {}", text, range);
    if (value >= low && value <= high) return {};
    return out_of_range(text, range, fmt::format("{}", std::clamp(value, low, high)));
  };
  return CLI::Validator(check, "");
}

CLI::Validator real_above(double low) {
  auto check = [low](std::string& text) -> std::string {
    double value = 0;
    if (parse_real(text, &value) && value > low) return {};
    return fmt::format("'{}' is not a number above {}", text, low);
  };
  return CLI::Validator(check, "");
}

std::string unknown_argument(const CLI::App& app) {
  // What follows an unknown option may be its value, so the option comes first in the message.
  std::vector<std::string> rest = app.remaining();
  if (rest.empty()) return {};
  const auto option = std::find_if(rest.begin(), rest.end(), [](const std::string& text) {
    return text.size() > 1 && text[0] == '-' && text != "--";
  });
  if (option == rest.end()) {
    const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
    if (commands.empty()) return fmt::format("unexpected argument '{}'", rest.front());
    std::vector<std::string> names;
    for (const CLI::App* command : commands) names.push_back(command->get_name());
    return fmt::format("unknown command '{}', the nearest is {}", rest.front(),
                       nearest_word(rest.front(), names));
  }
  const std::string given = option->substr(0, option->find('='));
  std::vector<std::string> names;
  for (const CLI::Option* known : app.get_options())
    for (const std::string& name : known->get_lnames()) names.push_back(name);
  const std::string_view word = std::string_view(given).substr(given.starts_with("--") ? 2 : 1);
  return fmt::format("unknown option {}, the nearest is --{}", given, nearest_word(word, names));
}

engine::Options EngineArguments::to_options() const {
  engine::Options options;
  options.threads = threads;
  options.isa = isa;
  if (!quantize.empty()) options.quantise = dtype_from_name(quantize);
  if (prefill_chunk > 0) options.prefill_chunk = prefill_chunk;
  options.context = context;
  options.cache_bytes = static_cast<size_t>(cache_mb) << 20;
  if (!drafter.empty()) options.drafter = find_drafter(drafter).take();
  options.planner = planner;
  if (!verify.empty()) options.verify = verify::parse_mode(verify).take();
  if (draft_max >= 0) options.draft_max = draft_max;
  options.draft_candidates = draft_candidates;
  return options;
}

void EngineArguments::take_own_drafter() {
  if (drafter.empty()) drafter = drafter_of(model);
}

void add_model(CLI::App& app, std::string& model) {
  model = kDefaultModel;
  app.add_option("MODEL", model,
                 "A GGUF file, a Hugging Face directory, or an installed model's name "
                 "(default: " +
                     model + ")")
      ->check(CLI::Validator(check_model_name, ""))
      ->type_name("");
}

void add_engine(CLI::App& app, EngineArguments& arguments) {
  add_model(app, arguments.model);
  app.add_option("--threads", arguments.threads, "Threads (default: one a CPU)")
      ->check(whole_number(1, 1024))
      ->type_name("N");
  allow_words(
      app.add_option("--isa", arguments.isa, "Instruction set; output is the same with each"),
      {"ref", "avx2", "avx512", "auto"});
  allow_words(
      app.add_option("--quantize", arguments.quantize, "Turn every matrix into this type at load"),
      weight_types());
}

void add_memory(CLI::App& app, EngineArguments& arguments) {
  app.add_option(
         "--prefill-chunk", arguments.prefill_chunk,
         "Most prompt tokens of one step (default 256; beside requests that decode at most 64)")
      ->check(whole_number(1, 4096))
      ->type_name("N");
  app.add_option("--context", arguments.context,
                 "Most tokens of a prompt with its answer (default: the model's)")
      ->check(whole_number(1, int64_t{1} << 31))
      ->type_name("N");
  app.add_option("--cache-mb", arguments.cache_mb, "Key/value cache in MiB (default: as needed)")
      ->check(whole_number(1, int64_t{1} << 24))
      ->type_name("N");
}

void add_trace(CLI::App& app, std::string& file) {
  app.add_option("--trace", file,
                 "Write what every step did for a trace viewer (ui.perfetto.dev); docs/json.md")
      ->type_name("FILE");
}

namespace {
constexpr const char* kGroup = "Speculation";
}

void add_drafter(CLI::App& app, EngineArguments& arguments) {
  app.add_option("--drafter", arguments.drafter,
                 "A drafter's GGUF file, directory or installed name, ngram, or none; with +ngram "
                 "behind it what repeats is looked up (default: the installed model's own, "
                 "in `run` and `serve` with +ngram, in `profile` without, else none)")
      ->check(CLI::Validator(
          [](std::string& text) {
            const auto found = find_drafter(text);
            return found.ok() ? std::string() : found.message();
          },
          ""))
      ->type_name("PATH")
      ->group(kGroup);
}

void add_speculation(CLI::App& app, EngineArguments& arguments) {
  const auto parsed = [](auto parse) {
    return CLI::Validator(
        [parse](std::string& text) {
          const auto value = parse(text);
          return value.ok() ? std::string() : value.message();
        },
        "");
  };
  add_drafter(app, arguments);
  app.add_option("--planner", arguments.planner,
                 "How many drafts are verified: auto (default), off, full, fixed:N, threshold:P, "
                 "causal, lagged, global")
      ->check(parsed([](const std::string& text) -> Result<verify::PlannerSpec> {
        if (text == "auto" || text == "full") return verify::PlannerSpec{};
        return verify::parse_planner(text);
      }))
      ->type_name("P")
      ->group(kGroup);
  app.add_option("--verify", arguments.verify,
                 "greedy, coupled (default), rejection or block; text is the same with and without "
                 "drafts in the first two, equally distributed in the others")
      ->check(parsed([](const std::string& text) { return verify::parse_mode(text); }))
      ->type_name("MODE")
      ->group(kGroup);
  app.add_option("--draft-max", arguments.draft_max, "Most drafts of a cycle")
      ->check(whole_number(0, 1024))
      ->type_name("N")
      ->group(kGroup);
  app.add_option("--draft-candidates", arguments.draft_candidates,
                 "Tokens of a slot that the Markov head corrects, at a temperature four times as "
                 "many; 0: all")
      ->check(whole_number(0, 1 << 22))
      ->type_name("N")
      ->group(kGroup);
}

}  // namespace dspark::apps
