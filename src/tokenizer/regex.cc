#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "tokenizer/utf8.h"

namespace dspark::tokenizer {
namespace {

constexpr uint32_t kMatchLimit = 20'000'000;
constexpr uint32_t kHeapLimit_kib = 64 << 10;
constexpr uint32_t kMaxNesting = 50;
constexpr size_t kMaxPatternBytes = 16384;
constexpr size_t kNowhere = SIZE_MAX;

// \s is White_Space here; PCRE2's own also holds U+180E, which left that property in Unicode 6.3.
Result<std::string> to_pcre2(std::string_view pattern, const std::string& where) {
  std::string result;
  int class_depth = 0;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (escaped == 'h' || escaped == 'H' || escaped == 'K')
        return fail("{}: pattern {}: \\{} is not supported", where, in_quotes(pattern), escaped);
      if (escaped == 's')
        result += R"(\p{White_Space})";
      else if (escaped == 'S')
        result += R"(\P{White_Space})";
      else
        result.append({c, escaped});
      continue;
    }
    if (class_depth == 0) {
      class_depth = c == '[';
    } else if (c == '[' && pattern.substr(i).starts_with("[:")) {
      ++class_depth;
    } else if (c == '[' || (c == '&' && pattern.substr(i).starts_with("&&"))) {
      return fail("{}: pattern {}: a class within a class is not supported", where,
                  in_quotes(pattern));
    } else if (c == ']') {
      --class_depth;
    }
    result += c;
  }
  return result;
}

}  // namespace

struct Regex::Code {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  bool jit = false;
  Code() = default;
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

Regex::Regex(std::unique_ptr<Code> code) : code_(std::move(code)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::compile(std::string_view pattern, const std::string& where) {
  if (pattern.size() > kMaxPatternBytes)
    return fail("{}: a pattern of {} bytes, expected at most {}", where, pattern.size(),
                kMaxPatternBytes);
  DSPARK_TRY(const std::string translated, to_pcre2(pattern, where));
  pcre2_compile_context* limits = pcre2_compile_context_create(nullptr);
  pcre2_set_parens_nest_limit(limits, kMaxNesting);
  int problem = 0;
  size_t offset = 0;
  auto code = std::make_unique<Code>();
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                             &problem, &offset, limits);
  pcre2_compile_context_free(limits);
  if (code->code == nullptr) {
    char message[256];
    pcre2_get_error_message(problem, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof message);
    return fail("{}: pattern {}: {}", where, in_quotes(pattern), message);
  }
  code->context = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(code->context, kMatchLimit);
  pcre2_set_heap_limit(code->context, kHeapLimit_kib);
  // Without JIT matching is slower, not different.
  code->jit = pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE) == 0;
  return Regex(std::move(code));
}

Regex::Matches::Matches(const Regex& regex, std::string_view text)
    : regex_(regex), text_(text), data_(pcre2_match_data_create(1, nullptr)), last_end_(kNowhere) {}
Regex::Matches::~Matches() { pcre2_match_data_free(static_cast<pcre2_match_data*>(data_)); }

int Regex::Matches::match(size_t at) {
  const Code& c = *regex_.code_;
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text_.data());
  auto* data = static_cast<pcre2_match_data*>(data_);
  if (c.jit) {
    const int result = pcre2_jit_match(c.code, subject, text_.size(), at, 0, data, c.context);
    if (result != PCRE2_ERROR_JIT_STACKLIMIT) return result;
  }
  return pcre2_match(c.code, subject, text_.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data,
                     c.context);
}

bool Regex::Matches::next(size_t* begin, size_t* end) {
  const auto* found = pcre2_get_ovector_pointer(static_cast<pcre2_match_data*>(data_));
  while (at_ <= text_.size()) {
    if (match(at_) < 0) break;
    *begin = found[0];
    *end = found[1];
    if (*end > *begin) {
      at_ = last_end_ = *end;
      return true;
    }
    // An empty match: go on after the next character.
    const bool repeated = *begin == last_end_;
    at_ = *begin + 1;
    while (at_ < text_.size() && (static_cast<uint8_t>(text_[at_]) & 0xc0) == 0x80) ++at_;
    if (!repeated) {
      last_end_ = *begin;
      return true;
    }
  }
  at_ = text_.size() + 1;
  return false;
}

}  // namespace dspark::tokenizer
