// What both sources of a Spec share.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

#include "compute/compute.h"
#include "model/spec.h"

namespace dspark::model {

inline constexpr int kMostLayers = 1024;

std::optional<Family> family_from_name(std::string_view name);

// The sizes that all families' config.json name alike; head_dim: where they name none, hidden /
// heads.
Status read_sizes(const formats::JsonConfig& config, Spec& spec);

// model_type gemma4_text and gemma4_unified_text; architecture gemma4.
Result<Spec> gemma4_spec(const formats::JsonConfig& config);
Result<Spec> gemma4_spec(const formats::GgufFile& file);
// What is the same in every Gemma 4.
Spec gemma4_parts(std::string architecture);
// spec.kinds and spec.kind_of_layer, of layers that have a window and others that have none.
void set_kinds(Spec& spec, const std::vector<bool>& slides, const AttentionKind& sliding,
               const AttentionKind& full);

// Every size within its bounds; nothing later has to fear overflow.
Status check_spec(const Spec& spec, const std::string& file);

}  // namespace dspark::model
