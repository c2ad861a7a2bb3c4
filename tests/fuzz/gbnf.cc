// Any bytes as a grammar: an error, or one whose first masks are sound.
#include "grammar/grammar.h"

#include "grammar/automaton.h"
#include "grammar/network.h"

using namespace dspark;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 1 << 12) return 0;
  const auto made = grammar::Grammar::from_gbnf({reinterpret_cast<const char*>(data), size}, "g");
  if (!made.ok()) {
    CHECK(made.message().starts_with("g:"));
    return 0;
  }
  // Every place that is reached leads on or may end.
  grammar::Automaton automaton(made.value()->network());
  int32_t state = automaton.start();
  for (int n = 0; n < 200; ++n) {
    int32_t next = grammar::Automaton::kDead;
    for (int byte = 0; byte < 256 && next == grammar::Automaton::kDead; ++byte)
      next = automaton.next(state, static_cast<uint8_t>(byte + n * 37));
    if (next == grammar::Automaton::kTooMany) return 0;
    CHECK(next != grammar::Automaton::kDead || automaton.may_end(state));
    if (next == grammar::Automaton::kDead) return 0;
    state = next;
  }
  return 0;
}
