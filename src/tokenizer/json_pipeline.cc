#include "tokenizer/json_pipeline.h"

#include <cctype>

#include "tokenizer/utf8.h"

namespace dspark::tokenizer {
namespace {

namespace dom = simdjson::dom;

constexpr size_t kMaxSteps = 64;
constexpr double kMaxGrowth = 64;
constexpr size_t kMaxPrefixBytes = 256;

// The steps of one kind ("normalizer") in order, Sequences unfolded. A step is null or an object
// with a type.
struct Step {
  std::string where;  // "FILE: key normalizer.1"
  std::string_view type;
  dom::object object;
};
Status collect_steps(const std::string& where, dom::element element, const char* list_key,
                     std::vector<Step>& steps) {
  if (element.is_null()) return {};
  dom::object object;
  if (element.get_object().get(object) != simdjson::SUCCESS || text_at(object, "type").empty())
    return fail("{}: expected null or an object with a type", where);
  const std::string_view type = text_at(object, "type");
  // Nesting is no deeper than the JSON parser allows.
  if (dom::array list;
      type == "Sequence" && object[list_key].get_array().get(list) == simdjson::SUCCESS) {
    size_t i = 0;
    for (dom::element item : list)
      DSPARK_RETURN_IF_ERROR(
          collect_steps(fmt::format("{}.{}", where, i++), item, list_key, steps));
    return {};
  }
  if (steps.size() == kMaxSteps) return fail("{}: more than {} steps", where, kMaxSteps);
  steps.push_back({where, type, object});
  return {};
}

// "pattern": {"String": text} or {"Regex": pattern}; the other is empty.
struct Pattern {
  std::string_view text, regex;
};
Result<Pattern> pattern_of(const Step& step) {
  dom::object object;
  Pattern pattern;
  if (step.object["pattern"].get_object().get(object) == simdjson::SUCCESS)
    pattern = {text_at(object, "String"), text_at(object, "Regex")};
  if (pattern.text.empty() == pattern.regex.empty())
    return fail("{}.pattern: expected an object with String or Regex", step.where);
  return pattern;
}

std::string as_regex(std::string_view text) {
  std::string regex;
  for (char c : text) {
    if (std::ispunct(static_cast<unsigned char>(c))) regex += '\\';
    regex += c;
  }
  return regex;
}

Result<SplitBehaviour> behaviour_of(const Step& step) {
  const std::string_view name = text_at(step.object, "behavior");
  if (name == "Isolated") return SplitBehaviour::kIsolated;
  if (name == "Removed") return SplitBehaviour::kRemoved;
  if (name == "MergedWithPrevious") return SplitBehaviour::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehaviour::kMergedWithNext;
  if (name == "Contiguous") return SplitBehaviour::kContiguous;
  return fail(
      "{}.behavior: {} is not known, expected Isolated, Removed, "
      "MergedWithPrevious, "
      "MergedWithNext or Contiguous",
      step.where, in_quotes(name));
}

Status add_normaliser(const Step& step, Normaliser& normaliser) {
  using Form = Normaliser::Form;
  if (step.type == "NFC")
    normaliser.add_form(Form::kNfc);
  else if (step.type == "NFD")
    normaliser.add_form(Form::kNfd);
  else if (step.type == "NFKC")
    normaliser.add_form(Form::kNfkc);
  else if (step.type == "NFKD")
    normaliser.add_form(Form::kNfkd);
  else if (step.type == "Prepend") {
    const std::string_view prefix = text_at(step.object, "prepend");
    if (prefix.size() > kMaxPrefixBytes)
      return fail("{}.prepend: {} bytes, expected at most {}", step.where, prefix.size(),
                  kMaxPrefixBytes);
    normaliser.add_prefix(std::string(prefix));
  } else if (step.type == "Replace") {
    DSPARK_TRY(const Pattern pattern, pattern_of(step));
    if (pattern.text.empty()) return fail("{}.pattern: Regex is not supported here", step.where);
    normaliser.add_replacement(std::string(pattern.text),
                               std::string(text_at(step.object, "content")));
    if (normaliser.growth() > kMaxGrowth)
      return fail("{}: replacements make text up to {:.0f} times longer, expected at most {:.0f}",
                  step.where, normaliser.growth(), kMaxGrowth);
  } else {
    return fail("{}: normalizer {} is not supported", step.where, in_quotes(step.type));
  }
  return {};
}

Status add_pre_tokenizer(const Step& step, bool first, Tokenizer::Impl& impl, bool* byte_level) {
  PreTokenizer& pre = impl.pre_tokenizer;
  if (*byte_level) return fail("{}: a step after ByteLevel is not supported", step.where);
  if (step.type == "ByteLevel") {
    *byte_level = true;
    impl.add_prefix_space = bool_at(step.object, "add_prefix_space", true);
    if (impl.add_prefix_space && !first)
      return fail("{}.add_prefix_space: supported in the first step only", step.where);
    if (!bool_at(step.object, "use_regex", true)) return {};
    return pre.add_split(PreTokenizer::gpt2_pattern(), SplitBehaviour::kIsolated, false,
                         step.where);
  }
  if (step.type == "Digits")
    return pre.add_split(R"(\p{N})",
                         bool_at(step.object, "individual_digits", false)
                             ? SplitBehaviour::kIsolated
                             : SplitBehaviour::kContiguous,
                         false, step.where);
  if (step.type == "Split") {
    DSPARK_TRY(const Pattern pattern, pattern_of(step));
    DSPARK_TRY(const SplitBehaviour behaviour, behaviour_of(step));
    return pre.add_split(
        pattern.regex.empty() ? as_regex(pattern.text) : std::string(pattern.regex), behaviour,
        bool_at(step.object, "invert", false), step.where + ".pattern");
  }
  return fail("{}: pre-tokenizer {} is not supported", step.where, in_quotes(step.type));
}

}  // namespace

bool bool_at(dom::object object, std::string_view key, bool fallback) {
  bool value = fallback;
  return object[key].get_bool().get(value) == simdjson::SUCCESS ? value : fallback;
}

std::string_view text_at(dom::object object, std::string_view key) {
  std::string_view value;
  return object[key].get_string().get(value) == simdjson::SUCCESS ? value : std::string_view();
}

Status read_pipeline(const std::string& file, dom::object root, Tokenizer::Impl& impl,
                     bool* byte_level) {
  *byte_level = false;
  std::vector<Step> steps;
  dom::element element;
  if (root["normalizer"].get(element) == simdjson::SUCCESS)
    DSPARK_RETURN_IF_ERROR(collect_steps(file + ": key normalizer", element, "normalizers", steps));
  for (const Step& step : steps) DSPARK_RETURN_IF_ERROR(add_normaliser(step, impl.normaliser));
  steps.clear();
  if (root["pre_tokenizer"].get(element) == simdjson::SUCCESS)
    DSPARK_RETURN_IF_ERROR(
        collect_steps(file + ": key pre_tokenizer", element, "pretokenizers", steps));
  for (size_t i = 0; i < steps.size(); ++i) {
    DSPARK_RETURN_IF_ERROR(add_pre_tokenizer(steps[i], i == 0, impl, byte_level));
    if (i > 0) impl.pre_tokenizer_name += '+';
    impl.pre_tokenizer_name += steps[i].type;
  }
  if (steps.empty()) impl.pre_tokenizer_name = "none";
  return {};
}

std::string leading_special_token(dom::object root) {
  std::vector<Step> steps;
  dom::element element;
  if (root["post_processor"].get(element) != simdjson::SUCCESS) return {};
  if (!collect_steps("", element, "processors", steps).ok()) return {};
  for (const Step& step : steps) {
    dom::object first;
    if (step.type == "TemplateProcessing" &&
        step.object["single"].at(0)["SpecialToken"].get_object().get(first) == simdjson::SUCCESS)
      return std::string(text_at(first, "id"));
  }
  return {};
}

}  // namespace dspark::tokenizer
