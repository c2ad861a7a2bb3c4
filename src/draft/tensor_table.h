// Which tensors a drafter has, and what each form calls them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "draft/drafter_file.h"

namespace dspark::draft {

struct TensorSlot {
  std::string name;       // DeepSpec's
  std::string gguf_name;  // llama.cpp's where it has one
  std::vector<int64_t> shape;
  bool is_matrix;         // may have any weight type; norms, biases and the confidence head: floats
  bool optional = false;  // embedding and head: where absent, the target's serve
};

// Everything that a drafter of this config has, in the order of spec A.3. The config is checked.
std::vector<TensorSlot> tensor_table(const DrafterConfig& config);

enum class Naming { kDeepSpec, kGguf };

// The stored tensors that the table asks for, in its order and under DeepSpec's names. An error
// when one is missing, of another shape or type, or not in the table nor in `besides`.
Result<std::vector<TensorView>> match_tensors(const DrafterConfig& config, Naming naming,
                                              const std::vector<TensorView>& stored,
                                              const std::vector<std::string_view>& besides);

}  // namespace dspark::draft
