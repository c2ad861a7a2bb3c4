// From a JSON schema to rules: each schema that is not a simple one becomes a rule of its own.
// Private to the room grammar.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "grammar/front_ends.h"
#include "grammar/json_values.h"
#include "grammar/schema_merge.h"

namespace dspark::grammar {

inline constexpr const char* kNoTypeError =
    "expected one of array, boolean, integer, null, number, object, string";

class SchemaCompiler {
 public:
  explicit SchemaCompiler(const Json& root) : root_(root), merger_(root), json_(rules_) {}

  Result<Rules> compile(const Frame& frame);

 private:
  Result<Expression> value_of(const Json& schema, const std::string& place, int depth);
  Result<Expression> flat_value_of(const Json& schema, const std::string& place, int depth);
  Result<Expression> any_of(const Json& schema, const std::string& keyword,
                            const std::string& place, int depth);
  Result<Expression> one_of_values(const Json& schema, const std::string& place);
  // Values of one type (schema_types.cc).
  Result<Expression> of_type(const std::string& type, const Json& schema, const std::string& place,
                             int depth);
  Result<Expression> string_of(const Json& schema, const std::string& place);
  Result<Expression> number_of(const Json& schema, bool whole, const std::string& place);
  Result<Expression> array_of(const Json& schema, const std::string& place, int depth);
  Result<Expression> object_of(const Json& schema, const std::string& place, int depth);

  Result<int> count_of(const Json& schema, const char* keyword, int fallback,
                       const std::string& place) const;
  Result<int64_t> bound_of(const Json& schema, bool lower, bool whole,
                           const std::string& place) const;
  Status check_keywords(const Json& schema, const std::string& place) const;
  Expression rule(const std::string& place, Expression body);
  int rule_at(const Json& target, const std::string& pointer);

  const Json& root_;
  SchemaMerger merger_;
  Rules rules_;
  JsonRules json_;
  std::map<const Json*, int> targets_;             // of references: their rules
  std::vector<std::pair<const Json*, int>> open_;  // those whose bodies are still to be made
};

// The value as it is written, and nothing else.
Expression text_of_value(const Json& value);

}  // namespace dspark::grammar
