// Any bytes as a line of a corpus: an error that names the place, or a row that is whole and is the
// same when written and read again.
#include "learn/learn.h"

namespace learn = dspark::learn;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  const auto row = learn::parse_corpus_row(line, 7, "fuzz.jsonl:7");
  if (!row.ok()) {
    CHECK(row.message().starts_with("fuzz.jsonl:7: "), "{}", row.message());
    return 0;
  }
  const learn::CorpusRow& found = row.value();
  CHECK(!found.ids.empty() || (!found.conversations.empty() && found.loss.empty()));
  int32_t last = 0;
  for (const auto& range : found.loss) {
    CHECK(last <= range.begin && range.begin < range.end);
    last = range.end;
  }
  CHECK(static_cast<size_t>(last) <= found.ids.size());
  const std::string written = learn::to_line(found);
  CHECK(written.find('\n') == std::string::npos);
  const auto again = learn::parse_corpus_row(written, 1, "fuzz.jsonl:7");
  CHECK(again.ok(), "{}", again.message());
  CHECK(learn::to_line(again.value()) == written, "{}", written);
  return 0;
}
