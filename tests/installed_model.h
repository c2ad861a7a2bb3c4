// Where the set-up keeps the default model: what tests that need it look for.
#pragma once

#include <cstdlib>
#include <filesystem>

namespace dspark::testing {

// The default model's file; empty when it is not installed.
inline std::filesystem::path installed_model() {
  namespace fs = std::filesystem;
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const fs::path base = cache != nullptr && *cache
                            ? fs::path(cache)
                            : fs::path(home != nullptr ? home : ".") / ".cache";
  const fs::path path = base / "dspark/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf";
  return fs::exists(path) ? path : fs::path();
}

}  // namespace dspark::testing
