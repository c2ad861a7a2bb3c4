#include "formats/gguf_cursor.h"

#include <simdjson.h>

#include "formats/shown.h"

namespace dspark::formats {

Status GgufCursor::read_text(std::string_view& text, uint64_t longest, std::string_view what) {
  const size_t start = at_;
  uint64_t length = 0;
  DSPARK_RETURN_IF_ERROR(read(length, what));
  if (length > longest)
    return error_at(start, "{} has {} bytes, at most {} expected", what, length, longest);
  if (length > remaining())
    return error_at(start, "{} has {} bytes, only {} are left", what, length, remaining());
  text = {reinterpret_cast<const char*>(data_ + at_), static_cast<size_t>(length)};
  at_ += static_cast<size_t>(length);
  return {};
}

Status GgufCursor::read_identifier(std::string_view& text, uint64_t longest,
                                   std::string_view what) {
  const size_t start = at_;
  DSPARK_RETURN_IF_ERROR(read_text(text, longest, what));
  if (text.empty()) return error_at(start, "{} is empty", what);
  if (!simdjson::validate_utf8(text.data(), text.size()))
    return error_at(start, "{} {} is not UTF-8", what, shown(text));
  return {};
}

Status GgufCursor::read_count(uint64_t& count, uint64_t most, uint64_t least_bytes,
                              std::string_view what) {
  const size_t start = at_;
  DSPARK_RETURN_IF_ERROR(read(count, "a count"));
  return check_count(start, count, most, least_bytes, what);
}

Status GgufCursor::check_count(size_t start, uint64_t count, uint64_t most, uint64_t least_bytes,
                               std::string_view what) const {
  if (count > most) return error_at(start, "{} {}, at most {} expected", count, what, most);
  if (count > remaining() / least_bytes)
    return error_at(start, "{} {} cannot fit in the {} bytes left", count, what, remaining());
  return {};
}

}  // namespace dspark::formats
