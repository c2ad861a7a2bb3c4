// Short names for contents: XXH3, 16 hex digits. They tell files apart; they keep no secrets.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/base.h"

namespace dspark::learn {

class Digest {
 public:
  Digest();
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void add(std::string_view bytes);
  std::string text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Of a model's weights (a GGUF file, or the .safetensors files of a directory), wherever they lie:
// their sizes and samples of their bytes, so that a large model costs no full read.
Result<std::string> weights_digest(const std::filesystem::path& model);

}  // namespace dspark::learn
