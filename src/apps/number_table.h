// Tables of numbers that users write: CSV with a line of column names, or JSON Lines with an object
// a row. Lines that are empty or begin with # are passed over.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"

namespace dspark::apps {

struct NumberTable {
  // [rows][columns asked for]; nothing where a row does not say, or the table has no such column.
  std::vector<std::vector<std::optional<double>>> rows;
  std::vector<size_t> lines;  // [rows], from 1
  std::vector<bool> has;      // [columns]: some row has it
};

// columns: all that the table may have. Errors name `file`, the line and the nearest valid name; at
// least one row; numbers are finite.
Result<NumberTable> parse_number_table(std::string_view text, const std::string& file,
                                       const std::vector<std::string>& columns);

}  // namespace dspark::apps
