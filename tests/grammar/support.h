// Grammars, masks and walks for the grammar room's tests.
#pragma once

#include <memory>
#include <random>
#include <set>
#include <string>

#include "grammar/grammar.h"

namespace dspark::grammar::testing {

using Json = nlohmann::ordered_json;

// A small vocabulary of the tokenizer's tests: "smollm" (every byte a token), "gemma" (byte
// fall-back).
const tokenizer::Tokenizer& vocabulary(const std::string& family);
Masks masks_of(std::shared_ptr<const Grammar> grammar, const tokenizer::Tokenizer& tokenizer);

// The text is one of the grammar's.
bool accepts(const Grammar& grammar, std::string_view text);

std::set<int32_t> allowed_ids(sample::Constraint& constraint);

// An answer of allowed tokens, drawn at random for `most` tokens and then on the way to an end.
// Empty where that isn't reached.
std::string random_text(const Masks& masks, const tokenizer::Tokenizer& tokenizer,
                        std::mt19937& random, size_t most);

// A text as a JSON schema has it, by the keywords that the grammar holds.
bool conforms(const Json& value, const Json& schema, const Json& root);

}  // namespace dspark::grammar::testing
