#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "grammar/json_values.h"
#include "tokenizer/tokenizer.h"

namespace dspark::grammar {
namespace {

constexpr std::string_view kEscapes[] = {"\\\"", "\\\\", "\\b", "\\f", "\\n", "\\r", "\\t"};

using Spelling = std::vector<std::string>;  // of a key, character by character

Spelling spelling_of(const std::string& name) {
  const std::string quoted = nlohmann::json(name).dump();
  Spelling units;
  for (size_t at = 1; at + 1 < quoted.size();) {
    const std::string_view rest = std::string_view(quoted).substr(at);
    const int length = rest.starts_with("\\u") ? 6
                       : rest[0] == '\\'       ? 2
                                               : tokenizer::read_utf8(rest).length;
    units.emplace_back(rest.substr(0, static_cast<size_t>(length)));
    at += units.back().size();
  }
  return units;
}

// A character of a key, but for these.
Expression other_character(const std::vector<std::string>& units) {
  std::vector<CharRange> taken{{0, 0x1f}, {'"', '"'}, {'\\', '\\'}};
  std::vector<Expression> parts(1);
  for (const std::string& unit : units)
    if (unit[0] != '\\') {
      const uint32_t c = tokenizer::read_utf8(unit).code_point;
      taken.push_back({c, c});
    }
  parts[0] = Expression{.kind = Expression::Kind::kChars, .chars = normalised(taken, true)};
  for (const std::string_view escape : kEscapes)
    if (std::find(units.begin(), units.end(), escape) == units.end())
      parts.push_back(text_of(escape));
  return choice(std::move(parts));
}

// The rest of a key that has agreed with all of `names` (sorted) for `at` characters.
Expression differing(std::span<const Spelling> names, size_t at) {
  std::vector<Expression> parts;
  std::vector<std::string> units;
  bool is_name = false;
  for (size_t i = 0; i < names.size();) {
    if (names[i].size() == at) {
      is_name = true;
      ++i;
      continue;
    }
    const std::string& unit = names[i][at];
    size_t end = i;
    while (end < names.size() && names[end][at] == unit) ++end;
    parts.push_back(sequence({text_of(unit), differing(names.subspan(i, end - i), at + 1)}));
    units.push_back(unit);
    i = end;
  }
  parts.push_back(
      sequence({other_character(units), repeat(other_character({}), 0, -1), text_of("\"")}));
  if (!is_name) parts.push_back(text_of("\""));
  return choice(std::move(parts));
}

}  // namespace

Expression other_key(const std::vector<std::string>& names) {
  std::vector<Spelling> spellings;
  for (const std::string& name : names) spellings.push_back(spelling_of(name));
  std::sort(spellings.begin(), spellings.end());
  return sequence({text_of("\""), differing(spellings, 0)});
}

}  // namespace dspark::grammar
