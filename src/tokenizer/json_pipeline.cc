#include "tokenizer/json_pipeline.h"

namespace dspark::tokenizer {
namespace {

using nlohmann::json;

std::string type_of(const json& step) {
  return step.is_object() && step.contains("type") && step["type"].is_string() ? step["type"].get<std::string>() : "";
}
bool on(const json& step, const char* key, bool fallback) {
  return step.contains(key) && step[key].is_boolean() ? step[key].get<bool>() : fallback;
}
std::string text_at(const json& step, const char* key) {
  return step.contains(key) && step[key].is_string() ? step[key].get<std::string>() : "";
}

// {"String": text} or {"Regex": pattern}: as a pattern; literal text is quoted.
Result<std::string> pattern_of(const std::string& where, const json& step) {
  const auto pattern = step.find("pattern");
  if (pattern != step.end() && pattern->is_object()) {
    if (const std::string regex = text_at(*pattern, "Regex"); !regex.empty()) return regex;
    if (const std::string text = text_at(*pattern, "String"); !text.empty()) {
      std::string quoted;
      for (char c : text) {
        if (static_cast<uint8_t>(c) < 0x80 && !std::isalnum(static_cast<uint8_t>(c))) quoted += '\\';
        quoted += c;
      }
      return quoted;
    }
  }
  return fail("{}: pattern: expected an object with String or Regex", where);
}

Result<SplitBehaviour> behaviour_of(const std::string& where, const json& step) {
  const std::string text = text_at(step, "behavior");
  if (text == "Isolated") return SplitBehaviour::kIsolated;
  if (text == "Removed") return SplitBehaviour::kRemoved;
  if (text == "MergedWithPrevious") return SplitBehaviour::kMergedWithPrevious;
  if (text == "MergedWithNext") return SplitBehaviour::kMergedWithNext;
  if (text == "Contiguous") return SplitBehaviour::kContiguous;
  return fail("{}: behavior: \"{}\" is not supported", where, text);
}

Status read_normaliser(const std::string& where, const json& step, Tokenizer::Impl& impl) {
  if (step.is_null()) return {};
  const std::string type = type_of(step);
  if (type == "Sequence" && step.contains("normalizers") && step["normalizers"].is_array()) {
    for (size_t i = 0; i < step["normalizers"].size(); ++i)
      DSPARK_RETURN_IF_ERROR(read_normaliser(fmt::format("{}.{}", where, i), step["normalizers"][i], impl));
    return {};
  }
  if (type == "NFC") {
    if (!impl.replacements.empty()) return fail("{}: NFC after a replacement is not supported", where);
    impl.nfc = true;
    return {};
  }
  if (type == "Replace") {
    const auto pattern = step.find("pattern");
    const std::string from = pattern != step.end() && pattern->is_object() ? text_at(*pattern, "String") : "";
    if (from.empty()) return fail("{}: pattern: expected an object with String", where);
    impl.replacements.emplace_back(from, text_at(step, "content"));
    return {};
  }
  if (type == "Prepend") {
    impl.prefix = text_at(step, "prepend");
    return {};
  }
  return fail("{}: normalizer {} is not supported", where, step.contains("type") ? step["type"].dump() : "without a type");
}

Status read_pre_tokenizer(const std::string& where, const json& step, Tokenizer::Impl& impl) {
  if (step.is_null()) return {};
  const std::string type = type_of(step);
  if (type == "Sequence" && step.contains("pretokenizers") && step["pretokenizers"].is_array()) {
    for (size_t i = 0; i < step["pretokenizers"].size(); ++i)
      DSPARK_RETURN_IF_ERROR(read_pre_tokenizer(fmt::format("{}.{}", where, i), step["pretokenizers"][i], impl));
    return {};
  }
  if (type == "ByteLevel") {
    impl.pre_tokenizer_name += impl.pre_tokenizer_name.empty() ? "byte-level" : ", byte-level";
    if (on(step, "add_prefix_space", true)) impl.prefix = " ";
    if (!on(step, "use_regex", true)) return {};
    return impl.pre_tokenizer.add_split(PreTokenizer::gpt2_pattern(), SplitBehaviour::kIsolated, false, where);
  }
  if (type == "Digits") {
    const bool single = on(step, "individual_digits", false);
    return impl.pre_tokenizer.add_split(single ? R"(\p{N})" : R"(\p{N}+)", SplitBehaviour::kIsolated, false, where);
  }
  if (type == "Split") {
    DSPARK_TRY(const std::string pattern, pattern_of(where, step));
    DSPARK_TRY(const SplitBehaviour behaviour, behaviour_of(where, step));
    return impl.pre_tokenizer.add_split(pattern, behaviour, on(step, "invert", false), where);
  }
  return fail("{}: pre-tokenizer {} is not supported", where, step.contains("type") ? step["type"].dump() : "without a type");
}

}  // namespace

Status read_pipeline(const std::string& name, const json& root, Tokenizer::Impl& impl) {
  if (root.contains("normalizer"))
    DSPARK_RETURN_IF_ERROR(read_normaliser(name + ": key normalizer", root["normalizer"], impl));
  if (root.contains("pre_tokenizer"))
    DSPARK_RETURN_IF_ERROR(read_pre_tokenizer(name + ": key pre_tokenizer", root["pre_tokenizer"], impl));
  if (impl.pre_tokenizer_name.empty()) impl.pre_tokenizer_name = "plain";
  return {};
}

std::string leading_special_token(const json& root) {
  const auto steps = [](const json& processor) {
    return type_of(processor) == "Sequence" && processor.contains("processors") && processor["processors"].is_array()
               ? processor["processors"]
               : json::array({processor});
  };
  if (!root.contains("post_processor")) return {};
  for (const json& step : steps(root["post_processor"])) {
    if (type_of(step) != "TemplateProcessing" || !step.contains("single") || !step["single"].is_array() ||
        step["single"].empty())
      continue;
    const json& first = step["single"][0];
    if (first.is_object() && first.contains("SpecialToken") && first["SpecialToken"].is_object())
      return text_at(first["SpecialToken"], "id");
  }
  return {};
}

}  // namespace dspark::tokenizer
