// What a dense decoder is, as numbers: one description per family, one forward pass for all.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/base.h"
#include "formats/formats.h"

namespace dspark::model {

enum class Family { kLlama, kQwen2, kQwen3 };
enum class RopeScaling { kNone, kLinear, kLlama3, kYarn };

struct Rope {
  double theta = 10000;
  int dim = 0;  // rotated dimensions of a head; pairs (i, i + dim/2)
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;
  double original_context = 0;                       // Llama 3, YaRN
  double low_freq_factor = 1, high_freq_factor = 4;  // Llama 3
  double beta_fast = 32, beta_slow = 1;              // YaRN
  double attention_factor = 0;                       // YaRN; 0: 0.1 ln(factor) + 1
  std::vector<double> frequency_divisors;  // [dim/2], from GGUF's rope_freqs.weight; empty: none
};

struct Spec {
  Family family = Family::kLlama;
  std::string architecture;  // as the file calls it
  int layers = 0;
  int hidden = 0;
  int ffn = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int vocab = 0;
  int64_t context = 0;  // positions the model was made for
  float norm_eps = 0;
  bool qkv_bias = false, output_bias = false;
  bool qk_norm = false;
  bool tied_head = false;
  bool interleaved_rope = false;  // q and k rows stored for pairs (2i, 2i+1): reordered at load
  // Eagle3: the attention reads [norm(embedding of the token) ; hidden_norm(residual)].
  bool pairs_embedding = false;
  Rope rope;

  int q_width() const { return heads * head_dim; }
  int kv_width() const { return kv_heads * head_dim; }
  int attention_input() const { return pairs_embedding ? 2 * hidden : hidden; }
};

Result<Spec> spec_from_gguf(const formats::GgufFile& file);
Result<Spec> spec_from_config(const formats::JsonConfig& config);

const char* family_name(Family family);

// inv_freq [dim/2] with scaling applied, and the factor on cos and sin (YaRN's, else 1).
std::vector<float> rope_frequencies(const Rope& rope, float* amplitude);

}  // namespace dspark::model
