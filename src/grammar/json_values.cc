#include "grammar/json_values.h"

#include "grammar/front_ends.h"

namespace dspark::grammar {
namespace {

constexpr int kMostIndent = 20;

Expression char_of_string() {
  const Expression hex = one_of({{'0', '9'}, {'a', 'f'}, {'A', 'F'}});
  const Expression d = one_of({{'d', 'd'}, {'D', 'D'}});
  const Expression not_d = one_of({{'0', '9'}, {'a', 'c'}, {'A', 'C'}, {'e', 'f'}, {'E', 'F'}});
  const Expression low_half = one_of({{'c', 'f'}, {'C', 'F'}});
  const Expression high_half = one_of({{'8', '9'}, {'a', 'b'}, {'A', 'B'}});
  return choice({
      one_of({{0x20, '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, 0x10ffff}}),
      sequence({text_of("\\"), one_of({{'"', '"'},
                                       {'\\', '\\'},
                                       {'/', '/'},
                                       {'b', 'b'},
                                       {'f', 'f'},
                                       {'n', 'n'},
                                       {'r', 'r'},
                                       {'t', 't'}})}),
      sequence({text_of("\\u"), not_d, repeat(hex, 3, 3)}),
      sequence({text_of("\\u"), d, one_of({{'0', '7'}}), repeat(hex, 2, 2)}),
      // Halves of a surrogate pair come together or not at all.
      sequence({text_of("\\u"), d, high_half, repeat(hex, 2, 2), text_of("\\u"), d, low_half,
                repeat(hex, 2, 2)}),
  });
}

}  // namespace

// Indices are known before bodies: rules may be of each other.
template <class Make>
Expression JsonRules::shared(const char* name, Make make) {
  const auto [at, added] = known_.try_emplace(name, static_cast<int>(rules_.size()));
  const int index = at->second;
  if (added) {
    rules_.push_back({name, {}});
    Expression body = make();
    rules_[static_cast<size_t>(index)].body = std::move(body);
  }
  return rule_of(index);
}

Expression JsonRules::space() {
  return shared("space", [] {
    return maybe(
        choice({text_of(" "), sequence({text_of("\n"), repeat(text_of(" "), 0, kMostIndent)})}));
  });
}

Expression JsonRules::string(int least, int most) {
  const Expression character = shared("character", char_of_string);
  const auto make = [&] {
    return sequence({text_of("\""), repeat(character, least, most), text_of("\"")});
  };
  return least == 0 && most < 0 ? shared("string", make) : make();
}

Expression JsonRules::number() {
  return shared("number", [] {
    const Expression digit = one_of({{'0', '9'}});
    return sequence(
        {maybe(text_of("-")),
         choice(
             {text_of("0"), sequence({one_of({{'1', '9'}}), repeat(digit, 0, kMostDigits - 1)})}),
         maybe(sequence({text_of("."), repeat(digit, 1, kMostDigits)})),
         maybe(sequence({one_of({{'e', 'e'}, {'E', 'E'}}), maybe(one_of({{'+', '+'}, {'-', '-'}})),
                         repeat(digit, 1, 2)}))});
  });
}

Expression JsonRules::boolean() { return choice({text_of("true"), text_of("false")}); }

Expression JsonRules::pair(Expression key, Expression value) {
  return sequence({std::move(key), text_of(":"), space(), std::move(value)});
}

Expression JsonRules::comma() { return sequence({text_of(","), space()}); }

Expression JsonRules::some(Expression part, int least, int most) {
  Expression more = sequence({comma(), part});
  return sequence({std::move(part),
                   repeat(std::move(more), least > 1 ? least - 1 : 0, most < 0 ? -1 : most - 1)});
}

Expression JsonRules::enclosed(char open, Expression inside, char close) {
  return sequence({text_of(std::string(1, open)), space(), std::move(inside), space(),
                   text_of(std::string(1, close))});
}

Expression JsonRules::object() {
  return shared("object",
                [&] { return enclosed('{', maybe(some(pair(string(0, -1), any()))), '}'); });
}

Expression JsonRules::array() {
  return shared("array", [&] { return enclosed('[', maybe(some(any())), ']'); });
}

Expression JsonRules::any() {
  return shared("value", [&] {
    return choice({object(), array(), string(0, -1), number(), boolean(), text_of("null")});
  });
}

Rules rules_of_any_object() {
  Rules rules{{"root", {}}};
  Expression body = JsonRules(rules).object();
  rules[0].body = std::move(body);
  return rules;
}

}  // namespace dspark::grammar
