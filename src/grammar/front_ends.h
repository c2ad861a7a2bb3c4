// Private to the room grammar: what rules are read from.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/base.h"
#include "grammar/expression.h"
#include "grammar/grammar.h"

namespace dspark::grammar {

// Grammar::from_gbnf's rules (gbnf.cc), Grammar::from_json_schema's (json_schema.cc), and those of
// any JSON object.
Result<Rules> parse_gbnf(std::string_view text, const std::string& name);
Result<Rules> rules_of_schema(const nlohmann::ordered_json& schema, const Frame& frame = {});
Rules rules_of_any_object();

}  // namespace dspark::grammar
