// Private to the room grammar: what JSON texts are made of, as expressions.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "grammar/expression.h"

namespace dspark::grammar {

// Numbers are written with up to so many digits in front of the point and behind it, so that they
// end. Exponents have two.
inline constexpr int kMostDigits = 16;
inline constexpr int64_t kMostWhole = 9'999'999'999'999'999;

// A whole number, a number, from low to high; low <= high, both within kMostWhole of 0.
Expression whole_number(int64_t low, int64_t high);
Expression real_number(int64_t low, int64_t high);

// A key in quotes that is none of these names. Characters have one spelling in keys, so that other
// texts are other keys: themselves where JSON lets them, else the short escape.
Expression other_key(const std::vector<std::string>& names);

// The rules that JSON texts share, added to a grammar's as they are asked for.
class JsonRules {
 public:
  explicit JsonRules(Rules& rules) : rules_(rules) {}

  Expression space();                      // nothing, a space, or a new line with its indent
  Expression string(int least, int most);  // of so many characters; most -1: no bound
  Expression number();
  Expression boolean();
  Expression object();  // any
  Expression array();   // any
  Expression any();     // any value

  // key: a string in quotes.
  Expression pair(Expression key, Expression value);
  Expression comma();  // with space behind it
  // One or more of them, with commas.
  Expression some(Expression part, int least = 1, int most = -1);
  Expression enclosed(char open, Expression inside, char close);

 private:
  template <class Make>
  Expression shared(const char* name, Make make);

  Rules& rules_;
  std::map<std::string, int> known_;
};

}  // namespace dspark::grammar
