// Any bytes as a JSON schema: an error, or a grammar that has a text.
#include "grammar/automaton.h"
#include "grammar/grammar.h"
#include "grammar/network.h"

using namespace dspark;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 1 << 12) return 0;
  const auto schema = nlohmann::ordered_json::parse(data, data + size, nullptr, false);
  if (schema.is_discarded()) return 0;
  const auto made = grammar::Grammar::from_json_schema(schema);
  if (!made.ok()) {
    CHECK(!made.message().empty());
    return 0;
  }
  const grammar::Automaton automaton(made.value()->network());
  CHECK(automaton.start() != grammar::Automaton::kDead);
  return 0;
}
