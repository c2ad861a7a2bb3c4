// A grammar read in the plainest way, from its rules by backtracking: what masks are held against.
#pragma once

#include <map>
#include <set>
#include <string_view>

#include "grammar/expression.h"

namespace dspark::grammar::testing {

class Reader {
 public:
  explicit Reader(const Rules& rules) : rules_(rules) {}

  bool accepts(std::string_view text);
  // Some text of the grammar begins with it. (All rules have texts.)
  bool begins(std::string_view text);

 private:
  using Places = std::set<size_t>;
  Places read(const Expression& e, size_t at);
  Places read_all(const Expression& e, const Places& from);
  Places read_char(const std::vector<CharRange>& chars, size_t at);
  Places read_list(const Expression& e, size_t at);

  const Rules& rules_;
  std::string_view text_;
  std::map<std::pair<int, size_t>, Places> known_;  // by rule and place
  bool ran_out_ = false;                            // the text ended where it could have gone on
};

}  // namespace dspark::grammar::testing
