// Private to the GGUF reader: metadata values.
#pragma once

#include <string_view>

#include "formats/gguf.h"
#include "formats/gguf_cursor.h"
#include "formats/gguf_types.h"

namespace dspark::formats {

class GgufMetadataReader {
 public:
  explicit GgufMetadataReader(GgufCursor& cursor) : cursor_(cursor) {}

  // The value of `key`, of a kind as the file gives it.
  Status read_value(GgufKind kind, std::string_view key, GgufValue& value);

 private:
  template <class Stored, class Wide>
  Status read_scalar(GgufValue& value);
  Status read_array(std::string_view key, GgufValue& value);
  template <class Stored, class Wide>
  void read_items(uint64_t count, GgufArray& array);
  Status read_booleans(uint64_t count, std::string_view key, GgufArray& array);
  Status read_strings(uint64_t count, GgufArray& array);

  GgufCursor& cursor_;
  uint64_t items_read_ = 0;  // over all arrays so far
};

}  // namespace dspark::formats
