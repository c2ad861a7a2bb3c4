// What both sources of a Spec share.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "compute/compute.h"
#include "model/spec.h"

namespace dspark::model {

std::optional<Family> family_from_name(std::string_view name);

// Every size within its bounds; nothing later has to fear overflow.
Status check_spec(const Spec& spec, const std::string& file);

}  // namespace dspark::model
