// Private to the room grammar: rules as a front end reads them, before they are compiled.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dspark::grammar {

struct CharRange {
  uint32_t first, last;  // code points, both included
};

// Sorted, without overlaps; inverted: all other characters. Surrogates are no characters.
std::vector<CharRange> normalised(std::vector<CharRange> ranges, bool inverted);

struct Expression {
  enum class Kind {
    kText,      // these bytes
    kChars,     // one of these characters
    kSequence,  // the parts one after the other; none: nothing
    kChoice,    // one of the parts
    kRepeat,    // the part `least` to `most` times
    kList,      // the parts in order, the optional ones there or not, the last part between them
    kRule,      // a text of the rule
  };
  Kind kind = Kind::kSequence;
  std::string text = {};
  std::vector<CharRange> chars = {};
  std::vector<Expression> parts = {};
  std::vector<bool> optional = {};  // kList: of all parts but the last
  int least = 0, most = 0;          // most -1: no bound
  int rule = 0;
};

Expression text_of(std::string_view bytes);
Expression one_of(std::vector<CharRange> chars);
Expression sequence(std::vector<Expression> parts);
Expression choice(std::vector<Expression> parts);
Expression repeat(Expression part, int least, int most);
Expression maybe(Expression part);
Expression rule_of(int index);

struct Rule {
  std::string name;
  Expression body;
};
using Rules = std::vector<Rule>;  // the first is the whole text

}  // namespace dspark::grammar
