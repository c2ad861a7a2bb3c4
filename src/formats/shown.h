// Text from a file, made fit for an error message: quoted, shortened, unprintable bytes escaped.
#pragma once

#include <string>
#include <string_view>

namespace dspark::formats {

std::string shown(std::string_view text);

}  // namespace dspark::formats
