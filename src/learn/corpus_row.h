// A row of a corpus (docs/formats.md): a conversation whose answers the target gave.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"

namespace dspark::learn {

struct Message {
  std::string role, content;  // role: system, user or assistant
};

// Tokens [begin, end).
struct TokenRange {
  int32_t begin = 0, end = 0;
  bool operator==(const TokenRange&) const = default;
};

struct CorpusRow {
  std::string id;
  std::vector<Message> conversations;
  double temperature = -1;  // -1: not known
  uint64_t seed = 0;
  std::string finish;            // how the last answer ended: "stop" or "length"
  std::vector<int32_t> ids;      // the last answer behind its prompt; empty: to be rendered
  std::vector<TokenRange> loss;  // of ids: ascending, apart, not empty
};

// One line of JSON, without LF.
std::string to_line(const CorpusRow& row);

// What a line holds. Errors begin with `place` and say what was expected.
Result<CorpusRow> parse_corpus_row(std::string_view line, size_t number, const std::string& place);

}  // namespace dspark::learn
