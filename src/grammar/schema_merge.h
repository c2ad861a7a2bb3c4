// Private to the room grammar: references and allOf, taken out of a schema.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/base.h"

namespace dspark::grammar {

using Json = nlohmann::ordered_json;

inline constexpr int kMostSchemaDepth = 64;

// Keywords that say nothing about which values there are, as far as is looked at here.
bool is_annotation(const std::string& keyword);

// A schema's keywords that say something.
bool says_more_than(const Json& schema, const std::string& keyword);

class SchemaMerger {
 public:
  explicit SchemaMerger(const Json& root) : root_(root) {}

  // What "#/..." points to.
  Result<const Json*> target(const Json& reference, const std::string& place) const;
  // Without $ref and allOf: what they lead to, merged with what is beside them. An error where two
  // schemas say different things with a keyword that can't be merged.
  Result<Json> flat(const Json& schema, const std::string& place, int depth = 0);
  Result<Json> merged(Json a, const Json& b, const std::string& place, int depth = 0);

 private:
  Status merge_keyword(Json& into, const std::string& keyword, const Json& value,
                       const std::string& place, int depth);

  const Json& root_;
  int merges_ = 0;
};

}  // namespace dspark::grammar
