// What a dense decoder is, as numbers: one description per family, one forward pass for all.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/base.h"
#include "formats/formats.h"

namespace dspark::model {

enum class Family { kLlama, kQwen2, kQwen3, kGemma4 };
enum class RopeScaling { kNone, kLinear, kLlama3, kYarn };
enum class Activation { kSilu, kGeluTanh };  // of the feed-forward gate

struct Rope {
  double theta = 10000;
  int dim = 0;    // rotated dimensions of a head; pairs (i, i + dim/2)
  int pairs = 0;  // how many of the pairs turn, the first ones; 0: all
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;
  double original_context = 0;                       // Llama 3, YaRN
  double low_freq_factor = 1, high_freq_factor = 4;  // Llama 3
  double beta_fast = 32, beta_slow = 1;              // YaRN
  double attention_factor = 0;                       // YaRN; 0: 0.1 ln(factor) + 1
  std::vector<double> frequency_divisors;  // [dim/2], from GGUF's rope_freqs.weight; empty: none
};

// The attention of one kind of layers.
struct AttentionKind {
  int kv_heads = 0;
  int head_dim = 0;
  int64_t window = 0;            // positions that a row sees, its own included; 0: all
  float scale = 0;               // of the scores; 0: 1 / sqrt(head_dim)
  bool values_are_keys = false;  // values are what the keys' projection gives
  Rope rope;

  int kv_width() const { return kv_heads * head_dim; }
  float score_scale() const;
};

struct Spec {
  Family family = Family::kLlama;
  std::string architecture;  // as the file calls it
  int layers = 0;
  int hidden = 0;
  int ffn = 0;
  int heads = 0;  // of queries, in every layer
  std::vector<AttentionKind> kinds = std::vector<AttentionKind>(1);
  std::vector<uint8_t> kind_of_layer;  // [layers], places in kinds; empty: all layers kinds[0]
  int vocab = 0;
  int64_t context = 0;  // positions the model was made for
  float norm_eps = 0;
  bool qkv_bias = false, output_bias = false;
  bool qk_norm = false;
  bool value_norm = false;        // values are normalised by head, without a weight
  bool sandwich_norms = false;    // norms behind attention and feed-forward, too, and a layer scale
  bool scaled_embedding = false;  // by sqrt(hidden)
  Activation activation = Activation::kSilu;
  float logit_softcap = 0;  // logits z become c tanh(z / c); 0: they stay
  bool tied_head = false;
  bool interleaved_rope = false;  // q and k rows stored for pairs (2i, 2i+1): reordered at load
  // Eagle3: the attention reads [norm(embedding of the token) ; hidden_norm(residual)].
  bool pairs_embedding = false;

  int kind_index(int layer) const {
    return kind_of_layer.empty() ? 0 : kind_of_layer[static_cast<size_t>(layer)];
  }
  const AttentionKind& attention(int layer) const {
    return kinds[static_cast<size_t>(kind_index(layer))];
  }
  int q_width(int layer) const { return heads * attention(layer).head_dim; }
  int kv_width(int layer) const { return attention(layer).kv_width(); }
  int attention_input() const { return pairs_embedding ? 2 * hidden : hidden; }
};

Result<Spec> spec_from_gguf(const formats::GgufFile& file);
Result<Spec> spec_from_config(const formats::JsonConfig& config);
// Of draft layers, from a drafter's config.json: as above, and every layer sees all positions.
Result<Spec> draft_spec_from_config(const formats::JsonConfig& config);

const char* family_name(Family family);

// inv_freq [dim/2] with scaling applied (0 for pairs that do not turn), and the factor on cos and
// sin (YaRN's, else 1).
std::vector<float> rope_frequencies(const Rope& rope, float* amplitude);

}  // namespace dspark::model
