#include "tokenizer/pre_tokenizer.h"

#include <algorithm>

namespace dspark::tokenizer {
namespace {

constexpr const char* kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
                               R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct Part {
  size_t begin, end;
  bool separator;
};

// Joins parts as the behaviour says, looking at them in the direction that it does.
template <class Join>
void merge_parts(std::vector<Part>& parts, bool only_separators, Join join) {
  std::vector<Part> merged;
  bool previous = false;
  for (const Part& part : parts) {
    const bool joins = only_separators ? part.separator && !previous : part.separator == previous;
    if (joins && !merged.empty())
      join(merged.back(), part);
    else
      merged.push_back(part);
    previous = part.separator;
  }
  parts.swap(merged);
}

}  // namespace

const char* PreTokenizer::gpt2_pattern() { return kGpt2; }
const char* PreTokenizer::known_families() { return "smollm, qwen2, llama-bpe, gpt-2, default"; }

bool PreTokenizer::add_family(std::string_view name) {
  const auto isolated = [this](const char* pattern) {
    const Status added = add_split(pattern, SplitBehaviour::kIsolated, false, "built in");
    CHECK(added.ok(), "{}", added.message());
  };
  if (name == "smollm") {
    isolated(R"(\p{N})");
    isolated(kGpt2);
  } else if (name == "qwen2" || name == "deepseek-r1-qwen") {
    isolated(kQwen2);
  } else if (name == "llama-bpe" || name == "llama3" || name == "llama-v3") {
    isolated(kLlama3);
  } else if (name == "gpt-2" || name == "gpt2" || name == "default") {
    isolated(kGpt2);
  } else {
    return false;
  }
  return true;
}

Status PreTokenizer::add_split(const std::string& pattern, SplitBehaviour behaviour, bool invert,
                               const std::string& where) {
  DSPARK_TRY(Regex regex, Regex::compile(pattern, where));
  stages_.push_back({std::move(regex), behaviour, invert});
  return {};
}

void PreTokenizer::run(const Stage& stage, std::string_view text,
                       std::vector<std::string_view>& pieces) {
  Regex::Matches matches(stage.regex, text);
  size_t begin = 0, end = 0, done = 0;
  const auto add = [&](size_t from, size_t to) {
    if (to > from) pieces.push_back(text.substr(from, to - from));
  };
  if (stage.behaviour == SplitBehaviour::kIsolated) {
    for (; matches.next(&begin, &end); done = end) {
      add(done, begin);
      add(begin, end);
    }
    return add(done, text.size());
  }
  std::vector<Part> parts;
  for (; matches.next(&begin, &end); done = end) {
    if (begin > done) parts.push_back({done, begin, stage.invert});
    parts.push_back({begin, end, !stage.invert});
  }
  if (text.size() > done) parts.push_back({done, text.size(), stage.invert});
  const auto to_left = [](Part& last, const Part& part) { last.end = part.end; };
  const auto to_right = [](Part& last, const Part& part) { last.begin = part.begin; };
  switch (stage.behaviour) {
    case SplitBehaviour::kIsolated:
      break;
    case SplitBehaviour::kRemoved:
      std::erase_if(parts, [](const Part& part) { return part.separator; });
      break;
    case SplitBehaviour::kMergedWithPrevious:
      merge_parts(parts, true, to_left);
      break;
    case SplitBehaviour::kContiguous:
      merge_parts(parts, false, to_left);
      break;
    case SplitBehaviour::kMergedWithNext:
      std::reverse(parts.begin(), parts.end());
      merge_parts(parts, true, to_right);
      std::reverse(parts.begin(), parts.end());
      break;
  }
  for (const Part& part : parts) add(part.begin, part.end);
}

void PreTokenizer::split(std::string_view text, std::vector<std::string_view>& pieces) const {
  pieces.assign(1, text);
  std::vector<std::string_view> next;
  for (const Stage& stage : stages_) {
    next.clear();
    next.reserve(pieces.size() + text.size() / 8);
    for (std::string_view piece : pieces) run(stage, piece, next);
    pieces.swap(next);
  }
}

}  // namespace dspark::tokenizer
