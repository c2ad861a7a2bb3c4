// Python's operators on values. All of them raise for types they don't take.
#pragma once

#include <string_view>

#include "tokenizer/template_ast.h"

namespace dspark::tokenizer::jinja {

Value arithmetic(Operator op, const Value& a, const Value& b, Budget& budget);
Value negative(const Value& value);
Value positive(const Value& value);
bool compare(Operator op, const Value& a, const Value& b, Budget& budget);
bool contains(const Value& container, const Value& item, Budget& budget);

// object.name: a method or field, else an entry of a dictionary. Undefined when there is none.
Value get_attribute(const Value& object, std::string_view name, Budget& budget);
// object[key]: an element, else a method or field. Undefined when there is none.
Value get_item(const Value& object, const Value& key, Budget& budget);
// Bounds may be none.
Value slice(const Value& object, const Value& start, const Value& stop, const Value& step,
            Budget& budget);

// text % values, as Python formats.
Value percent_format(const Value& text, const Value& values, Budget& budget);

}  // namespace dspark::tokenizer::jinja
