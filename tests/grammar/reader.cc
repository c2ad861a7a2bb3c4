#include "grammar/reader.h"

#include "tokenizer/tokenizer.h"

namespace dspark::grammar::testing {

bool Reader::accepts(std::string_view text) {
  text_ = text;
  ran_out_ = false;
  known_.clear();
  return read(rules_[0].body, 0).contains(text.size());
}

bool Reader::begins(std::string_view text) { return accepts(text) || ran_out_; }

Reader::Places Reader::read_all(const Expression& e, const Places& from) {
  Places to;
  for (const size_t at : from) to.merge(read(e, at));
  return to;
}

Reader::Places Reader::read(const Expression& e, size_t at) {
  switch (e.kind) {
    case Expression::Kind::kText:
      for (size_t i = 0; i < e.text.size(); ++i) {
        if (at + i == text_.size()) return ran_out_ = true, Places();
        if (text_[at + i] != e.text[i]) return {};
      }
      return {at + e.text.size()};
    case Expression::Kind::kChars:
      return read_char(e.chars, at);
    case Expression::Kind::kSequence: {
      Places places{at};
      for (const Expression& part : e.parts) places = read_all(part, places);
      return places;
    }
    case Expression::Kind::kChoice: {
      Places places;
      for (const Expression& part : e.parts) places.merge(read(part, at));
      return places;
    }
    case Expression::Kind::kRepeat: {
      Places ends, places{at};
      for (int i = 0; !places.empty(); ++i) {
        if (i >= e.least) {
          Places fresh;  // behind what is already known nothing new comes
          for (const size_t place : places)
            if (ends.insert(place).second || e.most >= 0) fresh.insert(place);
          places = fresh;
        }
        if (i == e.most) break;
        places = read_all(e.parts[0], places);
      }
      return ends;
    }
    case Expression::Kind::kList:
      return read_list(e, at);
    case Expression::Kind::kRule: {
      const auto [known, added] = known_.try_emplace({e.rule, at});
      if (!added) return known->second;
      const Places places = read(rules_[static_cast<size_t>(e.rule)].body, at);
      return known_[{e.rule, at}] = places;
    }
  }
  return {};
}

Reader::Places Reader::read_list(const Expression& e, size_t at) {
  Places none{at}, some;
  for (size_t i = 0; i + 1 < e.parts.size(); ++i) {
    Places next = read_all(e.parts[i], read_all(e.parts.back(), some));
    next.merge(read_all(e.parts[i], none));
    if (e.optional[i])
      next.insert(some.begin(), some.end());
    else
      none.clear();
    some = next;
  }
  some.merge(none);
  return some;
}

Reader::Places Reader::read_char(const std::vector<CharRange>& chars, size_t at) {
  const auto any_of = [&](uint32_t first, uint32_t last) {
    for (const CharRange& range : chars)
      if (range.first <= last && first <= range.last) return true;
    return false;
  };
  const std::string_view rest = text_.substr(at);
  if (rest.empty()) return ran_out_ = true, Places();
  if (const auto c = tokenizer::read_utf8(rest); c.length > 0)
    return any_of(c.code_point, c.code_point) ? Places{at + static_cast<size_t>(c.length)}
                                              : Places();
  if (tokenizer::read_broken_utf8(rest).complete) return {};
  // The beginning of a character: which may it become?
  std::string low(rest), high(rest);
  const auto lead = static_cast<uint8_t>(rest[0]);
  const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  while (low.size() < length) {
    const bool second = low.size() == 1;
    low += second && lead == 0xe0 ? '\xa0' : second && lead == 0xf0 ? '\x90' : '\x80';
    high += second && lead == 0xed ? '\x9f' : second && lead == 0xf4 ? '\x8f' : '\xbf';
  }
  if (any_of(tokenizer::read_utf8(low).code_point, tokenizer::read_utf8(high).code_point))
    ran_out_ = true;
  return {};
}

}  // namespace dspark::grammar::testing
