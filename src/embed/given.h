// Structs that a host fills in, which may be of an older or a newer dspark.h.
#pragma once

#include <algorithm>
#include <cstring>

#include "base/base.h"

namespace dspark::embed {

// A copy as this version knows it: what an older host's struct lacks is zero. first_size: what the
// struct had at the beginning of this ABI. An error where the size can't be, or where a newer host
// sets fields that nobody here would honour.
template <class Struct>
Result<Struct> copy_of(const Struct* given, size_t first_size, const char* name) {
  constexpr size_t kMostBytes = 4096;
  if (given == nullptr) return fail("{}: a null pointer", name);
  const size_t size = given->struct_size;
  if (size < first_size || size > kMostBytes)
    return fail("{}: struct_size is {}, expected sizeof({}), {} here", name, size, name,
                sizeof(Struct));
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (size_t i = sizeof(Struct); i < size; ++i)
    if (bytes[i] != 0)
      return fail("{}: it sets a field that is newer than this library, {}", name, DSPARK_VERSION);
  Struct own{};
  std::memcpy(&own, given, std::min(size, sizeof(Struct)));
  return own;
}

}  // namespace dspark::embed
