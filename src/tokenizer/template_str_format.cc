// str.format: '{name[0]!r:>8}'.format(...), without nested fields.
#include <algorithm>

#include "tokenizer/template_builtins.h"
#include "tokenizer/template_format_spec.h"
#include "tokenizer/template_interpreter.h"
#include "tokenizer/template_operators.h"
#include "tokenizer/template_text.h"

namespace dspark::tokenizer::jinja {

namespace {

// Python has a format's fields numbered by hand or by count, not both.
struct Numbering {
  size_t next = 0;
  bool by_hand = false;
};

// One {field} of str.format: name[.attribute|[key]]*[!conversion][:spec].
std::string format_field(std::string_view field, const Arguments& arguments, Numbering& numbering,
                         Budget& budget) {
  const size_t colon = field.find(':');
  const std::string_view spec = colon == field.npos ? "" : field.substr(colon + 1);
  if (spec.find('{') != spec.npos) raise("nested format fields are not supported");
  std::string_view path = field.substr(0, colon);
  char conversion = 's';
  const size_t bang = path.find('!');
  if (bang != path.npos) {
    if (bang + 2 != path.size() || (path[bang + 1] != 's' && path[bang + 1] != 'r'))
      raise("the conversion in '{{{}}}' is not supported", field);
    conversion = path[bang + 1];
    path = path.substr(0, bang);
  }
  const size_t end = std::min(path.find_first_of(".["), path.size());
  const std::string_view name = path.substr(0, end);
  Value value;
  if (name.empty() || is_digit(name[0])) {
    size_t at = 0;
    if (name.empty() ? numbering.by_hand : numbering.next > 0)
      raise("a format mixes numbered and unnumbered fields");
    numbering.by_hand = !name.empty();
    const size_t index =
        name.empty() ? numbering.next++ : static_cast<size_t>(read_number(name, at));
    if (index >= arguments.positional.size()) raise("format has no argument number {}", index);
    value = arguments.positional[index];
  } else {
    const auto found = std::find_if(arguments.keyword.begin(), arguments.keyword.end(),
                                    [&](const auto& a) { return a.first == name; });
    if (found == arguments.keyword.end()) raise("format has no argument '{}'", name);
    value = found->second;
  }
  for (path.remove_prefix(end); !path.empty();) {
    const bool is_item = path[0] == '[';
    const size_t stop = is_item ? path.find(']') : path.find_first_of(".[", 1);
    const std::string key(path.substr(1, std::min(stop, path.size()) - 1));
    if (is_item && stop == path.npos) raise("a format field lacks its ']'");
    size_t at = 0;
    const bool is_index = is_item && !key.empty() && is_digit(key[0]);
    value = is_index  ? get_item(value, Value::integer(read_number(key, at)), budget)
            : is_item ? get_item(value, Value::string(key), budget)
                      : get_attribute(value, key, budget);
    path.remove_prefix(std::min(stop + (is_item ? 1 : 0), path.size()));
  }
  if (conversion == 'r' || bang != field.npos) {
    std::string text;
    if (conversion == 'r')
      append_repr(text, value, budget);
    else
      append_str(text, value, budget);
    value = Value::string(std::move(text));
  }
  return format_value(value, spec, budget);
}

}  // namespace

Value str_format(Interpreter& interpreter, const Value& self, Arguments& arguments) {
  Budget& budget = interpreter.budget();
  const std::string_view text = self.text();
  std::string out;
  Numbering numbering;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    const bool doubled = at + 1 < text.size() && text[at + 1] == c;
    if ((c == '{' || c == '}') && doubled) ++at;
    if (c != '{' || doubled) {
      if (c == '}' && !doubled) raise("a '}}' in a format without its '{{'");
      out += c;
      continue;
    }
    const size_t end = text.find('}', at);
    if (end == text.npos) raise("a '{{' in a format without its '}}'");
    budget.step();
    out += format_field(text.substr(at + 1, end - at - 1), arguments, numbering, budget);
    budget.expect_string(out.size());
    at = end;
  }
  return budget.string(std::move(out));
}

}  // namespace dspark::tokenizer::jinja
