// From a request's fields to what its answer's text may be.
#pragma once

#include "engine/engine.h"
#include "serve/fields.h"

namespace dspark::serve {

// Takes `response_format` (text, json_object, json_schema) and `grammar` (GBNF); nullptr: anything.
std::shared_ptr<const grammar::Grammar> take_grammar(Fields& fields);

}  // namespace dspark::serve
