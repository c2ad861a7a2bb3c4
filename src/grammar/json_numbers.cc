#include <algorithm>

#include "base/base.h"
#include "grammar/json_values.h"

namespace dspark::grammar {
namespace {

Expression digit_from(char low, char high) {
  return one_of({{static_cast<uint32_t>(low), static_cast<uint32_t>(high)}});
}
Expression any_digits(size_t count) {
  return repeat(digit_from('0', '9'), static_cast<int>(count), static_cast<int>(count));
}

// Texts of as many digits as both have, from low to high.
Expression same_length(std::string_view low, std::string_view high) {
  if (low.empty()) return sequence({});
  const size_t rest = low.size() - 1;
  const std::string zeros(rest, '0'), nines(rest, '9');
  if (low == "0" + zeros && high == "9" + nines) return any_digits(low.size());
  if (low[0] == high[0])
    return sequence({text_of(low.substr(0, 1)), same_length(low.substr(1), high.substr(1))});
  std::vector<Expression> parts;
  parts.push_back(sequence({text_of(low.substr(0, 1)), same_length(low.substr(1), nines)}));
  if (high[0] - low[0] > 1)
    parts.push_back(
        sequence({digit_from(static_cast<char>(low[0] + 1), static_cast<char>(high[0] - 1)),
                  any_digits(rest)}));
  parts.push_back(sequence({text_of(high.substr(0, 1)), same_length(zeros, high.substr(1))}));
  return choice(std::move(parts));
}

// 0 <= low <= high, without leading zeros.
Expression digits(int64_t low, int64_t high) {
  std::vector<Expression> parts;
  for (;;) {
    const std::string from = std::to_string(low);
    const int64_t longest = std::stoll(std::string(from.size(), '9'));
    parts.push_back(same_length(from, std::to_string(std::min(high, longest))));
    if (high <= longest) return choice(std::move(parts));
    low = longest + 1;
  }
}

Expression magnitude(int64_t low, int64_t high) {
  const auto behind_point = [](char last) {
    return maybe(sequence({text_of("."), repeat(digit_from('0', last), 1, kMostDigits)}));
  };
  std::vector<Expression> parts{sequence({digits(high, high), behind_point('0')})};
  if (low < high) parts.push_back(sequence({digits(low, high - 1), behind_point('9')}));
  return choice(std::move(parts));
}

template <class Magnitude>
Expression with_sign(int64_t low, int64_t high, int64_t least_negative, Magnitude of) {
  CHECK(low <= high && low >= -kMostWhole && high <= kMostWhole, "{} to {}", low, high);
  std::vector<Expression> parts;
  if (high >= 0) parts.push_back(of(std::max<int64_t>(low, 0), high));
  if (low < 0) parts.push_back(sequence({text_of("-"), of(std::max(-high, least_negative), -low)}));
  return choice(std::move(parts));
}

}  // namespace

Expression whole_number(int64_t low, int64_t high) { return with_sign(low, high, 1, digits); }
Expression real_number(int64_t low, int64_t high) { return with_sign(low, high, 0, magnitude); }

}  // namespace dspark::grammar
