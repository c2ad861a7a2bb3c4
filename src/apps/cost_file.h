// What a profile found, kept in the user's cache by everything that it depends on.
#pragma once

#include <filesystem>
#include <optional>

#include "apps/json_lines.h"
#include "engine/engine.h"

namespace dspark::apps {

// CPU, threads, instruction set, model and drafter (name, size and time of change), this build.
Json cost_key(const std::filesystem::path& model, const engine::Options& options);
// Where it lies; empty where the user has no home.
std::filesystem::path cost_file(const Json& key);
// Nothing where there is none, or one of something else, or one that is no cost table; the last is
// warned of.
std::optional<verify::CostPoints> read_costs(const Json& key);
Status write_costs(const Json& key, const verify::CostPoints& points);

Json curve_json(const std::vector<verify::CostCurve::Point>& points);  // [[count, ms], ...]

}  // namespace dspark::apps
