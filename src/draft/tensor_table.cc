#include "draft/tensor_table.h"

#include <algorithm>
#include <map>

namespace dspark::draft {
namespace {

// Collects the slots of one drafter.
class TableBuilder {
 public:
  explicit TableBuilder(const DrafterConfig& config) : c_(config), s_(config.decoder) {}

  std::vector<TensorSlot> build() {
    const int64_t hidden = s_.hidden;
    matrix("embed_tokens", "token_embd", s_.vocab, hidden);
    slots_.back().optional = true;
    matrix("lm_head", "output", c_.draft_vocab, hidden);
    slots_.back().optional = true;
    matrix("fc", "fc", hidden, c_.taps() * hidden);
    if (c_.kind == Kind::kBlock) vector("hidden_norm", "enc.output_norm", hidden);
    vector("norm", "output_norm", hidden);
    for (int layer = 0; layer < s_.layers; ++layer) add_layer(layer);
    if (c_.kind == Kind::kBlock) add_heads();
    return std::move(slots_);
  }

 private:
  void add(std::string name, std::string gguf_name, std::vector<int64_t> shape, bool is_matrix) {
    slots_.push_back({std::move(name), std::move(gguf_name), std::move(shape), is_matrix});
  }
  void matrix(const std::string& name, const std::string& gguf_name, int64_t rows,
              int64_t columns) {
    add(name + ".weight", gguf_name + ".weight", {rows, columns}, true);
  }
  void vector(const std::string& name, const std::string& gguf_name, int64_t size) {
    add(name + ".weight", gguf_name + ".weight", {size}, false);
  }
  void bias(const std::string& name, const std::string& gguf_name, int64_t size) {
    add(name + ".bias", gguf_name + ".bias", {size}, false);
  }

  void add_layer(int layer) {
    const std::string hf = fmt::format("layers.{}.", layer), gguf = fmt::format("blk.{}.", layer);
    const int64_t hidden = s_.hidden, input = s_.attention_input();
    if (s_.pairs_embedding) vector(hf + "hidden_norm", gguf + "attn_norm_2", hidden);
    vector(hf + "input_layernorm", gguf + "attn_norm", hidden);
    if (s_.sandwich_norms) {
      vector(hf + "post_attention_layernorm", gguf + "post_attention_norm", hidden);
      vector(hf + "pre_feedforward_layernorm", gguf + "ffn_norm", hidden);
      vector(hf + "post_feedforward_layernorm", gguf + "post_ffw_norm", hidden);
      add(hf + "layer_scalar", gguf + "layer_output_scale.weight", {1}, false);
    } else {
      vector(hf + "post_attention_layernorm", gguf + "ffn_norm", hidden);
    }
    const auto projection = [&](const char* name, const char* gguf_name, int64_t rows,
                                int64_t columns, bool has_bias) {
      matrix(hf + "self_attn." + name, gguf + gguf_name, rows, columns);
      if (has_bias) bias(hf + "self_attn." + name, gguf + gguf_name, rows);
    };
    projection("q_proj", "attn_q", s_.q_width(0), input, s_.qkv_bias);
    projection("k_proj", "attn_k", s_.kv_width(0), input, s_.qkv_bias);
    if (!s_.kinds[0].values_are_keys)
      projection("v_proj", "attn_v", s_.kv_width(0), input, s_.qkv_bias);
    projection("o_proj", "attn_output", hidden, s_.q_width(0), s_.output_bias);
    if (s_.qk_norm) {
      vector(hf + "self_attn.q_norm", gguf + "attn_q_norm", s_.kinds[0].head_dim);
      vector(hf + "self_attn.k_norm", gguf + "attn_k_norm", s_.kinds[0].head_dim);
    }
    matrix(hf + "mlp.gate_proj", gguf + "ffn_gate", s_.ffn, hidden);
    matrix(hf + "mlp.up_proj", gguf + "ffn_up", s_.ffn, hidden);
    matrix(hf + "mlp.down_proj", gguf + "ffn_down", hidden, s_.ffn);
  }

  void add_heads() {
    const int64_t hidden = s_.hidden, rank = c_.markov_rank;
    if (c_.markov_head != MarkovHead::kNone) {
      matrix("markov_head.markov_w1", "markov_w1", s_.vocab, rank);
      matrix("markov_head.markov_w2", "markov_w2", c_.draft_vocab, rank);
    }
    if (c_.markov_head == MarkovHead::kGated) {
      matrix("markov_head.gate_proj", "markov_gate", rank, hidden + rank);
      bias("markov_head.gate_proj", "markov_gate", rank);
    }
    if (c_.markov_head == MarkovHead::kRnn) {
      matrix("markov_head.joint_proj", "markov_joint", 3 * rank, 2 * rank + hidden);
      bias("markov_head.joint_proj", "markov_joint", 3 * rank);
    }
    if (c_.confidence_head) {
      const int64_t inputs = hidden + (c_.confidence_with_markov ? rank : 0);
      add("confidence_head.proj.weight", "conf_proj.weight", {1, inputs}, false);
      add("confidence_head.proj.bias", "conf_proj.bias", {1}, false);
    }
  }

  const DrafterConfig& c_;
  const model::Spec& s_;
  std::vector<TensorSlot> slots_;
};

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

const char* kind_text(const DrafterConfig& config) {
  if (config.kind == Kind::kEagle3) return "an Eagle3";
  return config.markov_head == MarkovHead::kNone ? "a DFlash" : "a DSpark";
}

}  // namespace

std::vector<TensorSlot> tensor_table(const DrafterConfig& config) {
  return TableBuilder(config).build();
}

Result<std::vector<TensorView>> match_tensors(const DrafterConfig& config, Naming naming,
                                              const std::vector<TensorView>& stored,
                                              const std::vector<std::string_view>& besides) {
  std::map<std::string_view, const TensorView*> left;
  for (const TensorView& tensor : stored) left[tensor.name] = &tensor;
  std::vector<TensorView> matched;
  for (TensorSlot& slot : tensor_table(config)) {
    const std::string& name = naming == Naming::kGguf ? slot.gguf_name : slot.name;
    const auto found = left.find(name);
    if (found == left.end()) {
      if (slot.optional) continue;
      return fail("{}: tensor {} is missing", config.name, name);
    }
    TensorView tensor = *found->second;
    left.erase(found);
    if (tensor.shape != slot.shape)
      return fail("{}: tensor {}: shape {}, expected {}", config.name, name,
                  shape_text(tensor.shape), shape_text(slot.shape));
    const DTypeInfo& type = dtype_info(tensor.type);
    if (!type.is_weight || (!slot.is_matrix && is_quantised(tensor.type)))
      return fail("{}: tensor {}: type {}, expected {}", config.name, name, type.name,
                  slot.is_matrix ? "a weight type" : "f32, f16 or bf16");
    tensor.name = std::move(slot.name);
    matched.push_back(std::move(tensor));
  }
  for (const auto& [name, tensor] : left)
    if (std::find(besides.begin(), besides.end(), name) == besides.end())
      return fail("{}: tensor {} is not part of {} drafter as its configuration describes it",
                  config.name, formats::shown(name), kind_text(config));
  return matched;
}

}  // namespace dspark::draft
