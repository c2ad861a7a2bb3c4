#include "apps/number_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "apps/json_lines.h"

namespace dspark::apps {
namespace {

std::string_view trimmed(std::string_view text) {
  const size_t from = text.find_first_not_of(" \t\r");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t\r") - from + 1);
}

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  for (size_t from = 0; from <= line.size();) {
    const size_t end = std::min(line.find(',', from), line.size());
    fields.push_back(trimmed(line.substr(from, end - from)));
    from = end + 1;
  }
  return fields;
}

Result<size_t> column_of(std::string_view name, const std::vector<std::string>& columns,
                         const std::string& place) {
  const auto found = std::find(columns.begin(), columns.end(), name);
  if (found == columns.end())
    return fail("{}: unknown column '{}', the nearest is {} (of {})", place, name,
                nearest_word(name, columns), fmt::join(columns, ", "));
  return static_cast<size_t>(found - columns.begin());
}

Result<double> number_of(std::string_view text, const std::string& place) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return fail("{}: '{}' is not a number", place, text);
  return value;
}

using Cells = std::vector<std::optional<double>>;

Status read_fields(std::string_view line, const std::vector<size_t>& order,
                   const std::string& place, Cells& row) {
  const auto fields = fields_of(line);
  if (fields.size() != order.size())
    return fail("{}: {} values, expected {} as in the line of names", place, fields.size(),
                order.size());
  for (size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].empty()) continue;
    DSPARK_TRY(row[order[i]], number_of(fields[i], place));
  }
  return {};
}

Status read_json(std::string_view line, const std::vector<std::string>& columns,
                 const std::string& place, Cells& row) {
  DSPARK_TRY(const Json object, parse_object(line, place));
  for (const auto& [key, value] : object.items()) {
    DSPARK_TRY(const size_t column, column_of(key, columns, place));
    if (!value.is_number())
      return fail("{}: \"{}\": expected a number, found {}", place, key, value.type_name());
    row[column] = value.get<double>();
  }
  return {};
}

}  // namespace

Result<NumberTable> parse_number_table(std::string_view text, const std::string& file,
                                       const std::vector<std::string>& columns) {
  NumberTable table;
  table.has.assign(columns.size(), false);
  std::optional<std::vector<size_t>> order;  // of CSV: the columns of its fields
  bool json = false;
  DSPARK_RETURN_IF_ERROR(for_each_line(text, [&](std::string_view whole, size_t number) -> Status {
    const std::string_view line = trimmed(whole);
    if (line.starts_with('#')) return {};
    const std::string place = fmt::format("{}:{}", file, number);
    if (table.rows.empty() && !order && line.starts_with('{')) json = true;
    if (!json && !order) {
      order.emplace();
      for (const std::string_view name : fields_of(line)) {
        DSPARK_TRY(const size_t column, column_of(name, columns, place));
        if (std::find(order->begin(), order->end(), column) != order->end())
          return fail("{}: the column {} is there twice", place, name);
        order->push_back(column);
      }
      return {};
    }
    Cells row(columns.size());
    DSPARK_RETURN_IF_ERROR(json ? read_json(line, columns, place, row)
                                : read_fields(line, *order, place, row));
    for (size_t c = 0; c < row.size(); ++c)
      if (row[c]) table.has[c] = true;
    table.rows.push_back(std::move(row));
    table.lines.push_back(number);
    return {};
  }));
  if (table.rows.empty()) return fail("{}: no rows", file);
  return table;
}

}  // namespace dspark::apps
