// Public header of the room grammar: texts that an answer may be, as GBNF or a JSON schema, and the
// tokens that may come next on the way to one.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/base.h"
#include "sample/sample.h"
#include "tokenizer/tokenizer.h"

namespace dspark::grammar {

struct Network;

// What stands around a JSON text; with `many`, more of the same may follow, `between` between them.
struct Frame {
  std::string before = {}, after = {}, between = {};
  bool many = false;
  bool empty() const { return before.empty() && after.empty() && !many; }
};

// A set of texts (bytes). What it is made from is untrusted: sizes, nesting and left recursion are
// checked. Every beginning that it accepts can be finished.
class Grammar {
 public:
  // Rules `name ::= ...`, of which `root` is the whole text (docs/grammar.md). Errors name the
  // place as NAME:line:column.
  static Result<std::shared_ptr<const Grammar>> from_gbnf(std::string_view text,
                                                          const std::string& name);
  // JSON texts that the schema accepts, keys in the schema's order; not all of them, where only
  // some are simple to describe (docs/grammar.md). Keywords that can't be held are errors that name
  // them, with the place as a pointer: "#/properties/age: ...".
  static Result<std::shared_ptr<const Grammar>> from_json_schema(
      const nlohmann::ordered_json& schema, const Frame& frame = {});
  static std::shared_ptr<const Grammar> any_json_object();

  Grammar(std::string source, Network network);
  ~Grammar();

  // Equal sources accept the same texts.
  const std::string& source() const { return source_; }
  const Network& network() const { return *network_; }

 private:
  std::string source_;
  std::unique_ptr<const Network> network_;
};

class TokenTrie;

// The bytes of a vocabulary's tokens, for masks; made once.
std::shared_ptr<const TokenTrie> make_token_trie(const tokenizer::Tokenizer& tokenizer,
                                                 int32_t vocab_size);

// A grammar over a vocabulary: what may come next, kept for all requests that share it.
class Masks {
 public:
  // The trie's tokenizer outlives it.
  Masks(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> trie);
  ~Masks();

  // At the beginning of an answer. Tokens of text are allowed while the answer can still become a
  // text of the grammar, stop tokens where it is one, other control tokens nowhere. Different
  // threads may use different constraints at the same time.
  std::unique_ptr<sample::Constraint> start() const;

 private:
  class Shared;
  class Matcher;
  std::shared_ptr<Shared> shared_;
};

}  // namespace dspark::grammar
