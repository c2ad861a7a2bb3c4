// A regular expression over UTF-8 text. Patterns may come from a file (untrusted): they are
// compiled and matched under limits.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/base.h"

namespace dspark::tokenizer {

class Regex {
 public:
  // The syntax is that of Oniguruma, which tokenizer.json files are written for, as far as PCRE2
  // agrees with it; where the two are known to differ in meaning, an error. Errors begin with
  // `where`.
  static Result<Regex> compile(std::string_view pattern, const std::string& where);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // One pass over a text. Thread-safe among different objects.
  class Matches {
   public:
    Matches(const Regex& regex, std::string_view text);
    ~Matches();
    Matches(const Matches&) = delete;
    Matches& operator=(const Matches&) = delete;
    // The next match, [begin, end) in bytes; it may be empty, but not where the last one ended.
    // False at the end, or when a limit was met: the rest then counts as without a match.
    bool next(size_t* begin, size_t* end);

   private:
    int match(size_t at);
    const Regex& regex_;
    std::string_view text_;
    void* data_;  // pcre2_match_data
    size_t at_ = 0, last_end_;
  };

 private:
  struct Code;
  explicit Regex(std::unique_ptr<Code> code);
  std::unique_ptr<Code> code_;
};

}  // namespace dspark::tokenizer
