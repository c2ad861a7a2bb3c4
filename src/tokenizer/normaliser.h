// What is done to text before it is split: Unicode normal forms, replacements, a prefix.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dspark::tokenizer {

class Normaliser {
 public:
  enum class Form { kNfc, kNfd, kNfkc, kNfkd };
  void add_form(Form form) { steps_.push_back({Kind::kForm, form, {}, {}}); }
  void add_replacement(std::string from, std::string to) {
    steps_.push_back({Kind::kReplace, {}, std::move(from), std::move(to)});
  }
  // Put before any text that is not empty.
  void add_prefix(std::string prefix) {
    steps_.push_back({Kind::kPrefix, {}, {}, std::move(prefix)});
  }
  // How many times longer than text the replacements can make it, at worst.
  double growth() const;

  // text is valid UTF-8. The result is text itself or a view of buffer. first: whether a prefix
  // goes before it.
  std::string_view apply(std::string_view text, bool first, std::string& buffer) const;

 private:
  enum class Kind { kForm, kReplace, kPrefix };
  struct Step {
    Kind kind;
    Form form;
    std::string from, to;
  };
  std::vector<Step> steps_;
};

}  // namespace dspark::tokenizer
