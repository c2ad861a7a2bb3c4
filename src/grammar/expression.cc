#include "grammar/expression.h"

#include <algorithm>

namespace dspark::grammar {
namespace {

constexpr uint32_t kLastChar = 0x10ffff;
constexpr CharRange kSurrogates{0xd800, 0xdfff};

std::vector<CharRange> complement(const std::vector<CharRange>& ranges) {
  std::vector<CharRange> rest;
  uint32_t next = 0;
  for (const CharRange& range : ranges) {
    if (range.first > next) rest.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLastChar) rest.push_back({next, kLastChar});
  return rest;
}

std::vector<CharRange> merged(std::vector<CharRange> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const CharRange& a, const CharRange& b) { return a.first < b.first; });
  std::vector<CharRange> result;
  for (const CharRange& range : ranges) {
    if (!result.empty() && range.first <= result.back().last + 1)
      result.back().last = std::max(result.back().last, range.last);
    else
      result.push_back(range);
  }
  return result;
}

}  // namespace

std::vector<CharRange> normalised(std::vector<CharRange> ranges, bool inverted) {
  if (!inverted) ranges = complement(merged(std::move(ranges)));
  ranges.push_back(kSurrogates);
  return complement(merged(std::move(ranges)));
}

Expression text_of(std::string_view bytes) {
  return {.kind = Expression::Kind::kText, .text = std::string(bytes)};
}
Expression one_of(std::vector<CharRange> chars) {
  return {.kind = Expression::Kind::kChars, .chars = normalised(std::move(chars), false)};
}
Expression sequence(std::vector<Expression> parts) {
  return {.kind = Expression::Kind::kSequence, .parts = std::move(parts)};
}
Expression choice(std::vector<Expression> parts) {
  return {.kind = Expression::Kind::kChoice, .parts = std::move(parts)};
}
Expression repeat(Expression part, int least, int most) {
  Expression expression{.kind = Expression::Kind::kRepeat, .least = least, .most = most};
  expression.parts.push_back(std::move(part));
  return expression;
}
Expression maybe(Expression part) { return repeat(std::move(part), 0, 1); }
Expression rule_of(int index) { return {.kind = Expression::Kind::kRule, .rule = index}; }

}  // namespace dspark::grammar
