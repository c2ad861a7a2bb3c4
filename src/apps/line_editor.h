// Lines typed at a terminal, with editing and a history that outlives the program. Prompts go to
// stderr.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "apps/interrupt.h"

namespace dspark::apps {

class LineEditor {
 public:
  // history: a file, made with its folders on the first line; empty for none. A raised flag empties
  // the line being typed. One editor at a time.
  LineEditor(std::filesystem::path history, InterruptFlag& interrupt);
  ~LineEditor();

  // Empty at the end of input.
  std::optional<std::string> read(const std::string& prompt);

 private:
  void save() const;
  std::filesystem::path history_;
};

}  // namespace dspark::apps
