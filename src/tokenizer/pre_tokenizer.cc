#include "tokenizer/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace dspark::tokenizer {
namespace {

constexpr uint32_t kMatchLimit = 5'000'000;
constexpr size_t kMaxPatternBytes = 16384;

constexpr const char* kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

}  // namespace

struct PreTokenizer::Stage {
  Stage(pcre2_code* code, SplitBehaviour behaviour, bool invert) : code(code), behaviour(behaviour), invert(invert) {
    context = pcre2_match_context_create(nullptr);
    pcre2_set_match_limit(context, kMatchLimit);
  }
  ~Stage() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
  void split(std::string_view text, std::vector<std::string_view>& pieces) const;

  pcre2_code* code;
  pcre2_match_context* context;
  SplitBehaviour behaviour;
  bool invert;
};

PreTokenizer::PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

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
  } else if (name == "qwen2") {
    isolated(kQwen2);
  } else if (name == "llama-bpe" || name == "llama3") {
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
  if (pattern.size() > kMaxPatternBytes)
    return fail("{}: a pattern of {} bytes, expected at most {}", where, pattern.size(), kMaxPatternBytes);
  int code = 0;
  size_t offset = 0;
  pcre2_compile_context* compile = pcre2_compile_context_create(nullptr);
  pcre2_set_parens_nest_limit(compile, 50);
  pcre2_code* compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                       PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE, &code, &offset, compile);
  pcre2_compile_context_free(compile);
  if (compiled == nullptr) {
    char message[256];
    pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof message);
    return fail("{}: pattern \"{}\": at {}: {}", where, pattern, offset, message);
  }
  pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);  // without it matching is slower, not different
  stages_.push_back(std::make_unique<Stage>(compiled, behaviour, invert));
  return {};
}

void PreTokenizer::Stage::split(std::string_view text, std::vector<std::string_view>& pieces) const {
  const size_t first_piece = pieces.size();
  bool merge_into_next = false;  // a match waits for the text after it
  size_t waiting = 0;
  bool last_was_match = false;
  const auto add = [&](size_t begin, size_t end, bool is_match) {
    if (begin == end) return;
    if (is_match != invert) {  // a separator
      if (behaviour == SplitBehaviour::kRemoved) {
        last_was_match = true;
        return;
      }
      const bool glue = pieces.size() > first_piece &&
                        ((behaviour == SplitBehaviour::kMergedWithPrevious && !last_was_match) ||
                         (behaviour == SplitBehaviour::kContiguous && last_was_match));
      last_was_match = true;
      if (glue) {
        pieces.back() = text.substr(static_cast<size_t>(pieces.back().data() - text.data()),
                                    end - static_cast<size_t>(pieces.back().data() - text.data()));
        return;
      }
      if (behaviour == SplitBehaviour::kMergedWithNext) {
        if (merge_into_next) pieces.push_back(text.substr(waiting, begin - waiting));
        merge_into_next = true;
        waiting = begin;
        return;
      }
    } else {
      last_was_match = false;
      if (merge_into_next) begin = waiting;
      merge_into_next = false;
    }
    pieces.push_back(text.substr(begin, end - begin));
  };

  pcre2_match_data* match = pcre2_match_data_create(1, nullptr);
  const size_t* found = pcre2_get_ovector_pointer(match);
  size_t done = 0, at = 0;
  while (at <= text.size()) {
    const int count = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                                  PCRE2_NO_UTF_CHECK, match, context);
    if (count < 0) break;  // no more matches, or a limit: the rest is one piece
    if (found[1] <= found[0]) {  // an empty match separates nothing: look further on
      at = found[0] + 1;
      while (at < text.size() && (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80) ++at;
      continue;
    }
    add(done, found[0], false);
    add(found[0], found[1], true);
    done = at = found[1];
  }
  add(done, text.size(), false);
  if (merge_into_next) pieces.push_back(text.substr(waiting));
  pcre2_match_data_free(match);
}

void PreTokenizer::split(std::string_view text, std::vector<std::string_view>& pieces) const {
  pieces.clear();
  pieces.push_back(text);
  std::vector<std::string_view> next;
  for (const auto& stage : stages_) {
    next.clear();
    for (std::string_view piece : pieces) stage->split(piece, next);
    pieces.swap(next);
  }
}

}  // namespace dspark::tokenizer
