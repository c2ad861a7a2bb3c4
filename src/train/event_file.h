// Scalars for TensorBoard: an event file, which is a TFRecord file of tensorflow.Event messages.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/base.h"

namespace dspark::train {

class EventFile {
 public:
  // In the folder, which is made; each sitting of a run has a file of its own, as TensorBoard
  // expects of a run that went on.
  static Result<EventFile> create(const std::filesystem::path& folder);
  // Every number of the row under PREFIX/KEY.
  Status add(int64_t step, const std::string& prefix, const nlohmann::ordered_json& row);

 private:
  explicit EventFile(std::filesystem::path path) : path_(std::move(path)) {}
  Status append(const std::string& event);
  std::filesystem::path path_;
};

}  // namespace dspark::train
