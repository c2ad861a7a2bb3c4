// What a run leaves in its folder: recipe.toml, state.safetensors, drafter.gguf, metrics.jsonl
// (a function of recipe and corpus) and timing.jsonl (of the machine).
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/base.h"

namespace dspark::train {

class RunFiles {
 public:
  explicit RunFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Makes the folder. An error where a run of another recipe is in it, or, with fresh, any run.
  Status begin(const std::string& recipe, bool fresh);
  // Stores the recipe: from here on the folder is this run's.
  Status claim(const std::string& recipe);
  // Drops rows of steps behind `steps`, which a resumed run makes again, and a torn last row.
  Status cut_metrics(int64_t steps);
  Status add_metrics(const nlohmann::ordered_json& row);
  Status add_timing(const nlohmann::ordered_json& row);
  // Enough room on the disk for a file of so many bytes, as far as it isn't there yet?
  static Status check_space(const std::filesystem::path& file, double bytes);

  std::filesystem::path state() const { return folder_ / "state.safetensors"; }
  std::filesystem::path drafter() const { return folder_ / "drafter.gguf"; }
  std::filesystem::path metrics() const { return folder_ / "metrics.jsonl"; }

 private:
  std::filesystem::path folder_;
};

}  // namespace dspark::train
