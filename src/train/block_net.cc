#include "train/block_net.h"

#include <torch/torch.h>

namespace dspark::train {
BlockNet::BlockNet(const draft::DrafterConfig& config, const Parameters& parameters,
                   const FrozenTables& tables, Precision precision)
    : config_(config),
      parameters_(parameters),
      tables_(tables),
      decoder_(config.decoder, parameters, precision) {}

// Queries of a sequence's blocks against its context rows before the anchor, and against all rows
// of their own block.
torch::Tensor BlockNet::attend(const Part& part, const BlockBatch& batch,
                               const torch::Tensor& queries, const KeysValues& context,
                               const KeysValues& block) const {
  const model::AttentionKind& kind = decoder_.kind();
  const int64_t inputs = config_.block_size, d = kind.head_dim, kv = kind.kv_heads;
  const int64_t group = decoder_.spec().heads / kv, n = part.blocks;
  // [kv, blocks, group * inputs, d]
  const torch::Tensor q =
      queries.slice(0, part.first_block * inputs, (part.first_block + n) * inputs)
          .view({n, inputs, kv, group, d})
          .permute({2, 0, 3, 1, 4})
          .reshape({kv, n, group * inputs, d});
  const auto of_context = [&](const torch::Tensor& x) {  // [kv, rows, d]
    return x.slice(0, part.first_context, part.first_context + part.context_rows).transpose(0, 1);
  };
  const auto of_block = [&](const torch::Tensor& x) {  // [kv * blocks, inputs, d]
    return x.slice(0, part.first_block * inputs, (part.first_block + n) * inputs)
        .view({n, inputs, kv, d})
        .permute({2, 0, 1, 3})
        .reshape({kv * n, inputs, d});
  };
  const int64_t rows = n * group * inputs;
  const torch::Tensor to_context =
      decoder_.batch_product(q.view({kv, rows, d}), of_context(context.keys).transpose(1, 2));
  const torch::Tensor to_block = decoder_.batch_product(q.view({kv * n, group * inputs, d}),
                                                        of_block(block.keys).transpose(1, 2));
  const torch::Tensor anchors = batch.anchors.slice(0, part.first_block, part.first_block + n);
  const torch::Tensor hidden_rows =
      torch::arange(part.context_rows).unsqueeze(0) >= anchors.unsqueeze(1);  // [blocks, rows]
  const torch::Tensor scores =
      torch::cat({to_context.view({kv, n, group * inputs, part.context_rows})
                      .masked_fill(hidden_rows.view({1, n, 1, part.context_rows}), kUnseen),
                  to_block.view({kv, n, group * inputs, inputs})},
                 -1);
  const torch::Tensor weights = torch::softmax(scores * kind.score_scale(), -1);
  const torch::Tensor from_context = decoder_.batch_product(
      weights.slice(-1, 0, part.context_rows).reshape({kv, rows, part.context_rows}),
      of_context(context.values));
  const torch::Tensor from_block = decoder_.batch_product(
      weights.slice(-1, part.context_rows).reshape({kv * n, group * inputs, inputs}),
      of_block(block.values));
  return (from_context.view({kv, n, group, inputs, d}) + from_block.view({kv, n, group, inputs, d}))
      .permute({1, 3, 0, 2, 4})
      .reshape({n * inputs, kv * group * d});
}

torch::Tensor BlockNet::backbone(const BlockBatch& batch) const {
  const int64_t inputs = config_.block_size;
  const torch::Tensor context = decoder_.norm(decoder_.linear(batch.features, "fc"), "hidden_norm");
  torch::Tensor x = tables_.embedding.index_select(0, batch.tokens.flatten());
  const Rotation context_rotation = decoder_.rotation(batch.context_positions);
  const Rotation rotation =
      decoder_.rotation((batch.anchors.unsqueeze(1) + torch::arange(inputs)).flatten());
  for (int layer = 0; layer < decoder_.spec().layers; ++layer) {
    const torch::Tensor u = decoder_.norm(x, Decoder::layer_name(layer, "input_layernorm"));
    const torch::Tensor queries = decoder_.queries(layer, u, rotation);
    const KeysValues block_rows = decoder_.keys_values(layer, u, rotation);
    const KeysValues context_rows = decoder_.keys_values(layer, context, context_rotation);
    std::vector<torch::Tensor> attended;
    for (const Part& part : batch.parts)
      attended.push_back(attend(part, batch, queries, context_rows, block_rows));
    x = decoder_.finish(layer, x, torch::cat(attended));
  }
  return decoder_.norm(x, "norm").view({batch.blocks(), inputs, -1});
}

torch::Tensor BlockNet::rnn_factors(const torch::Tensor& hidden, const torch::Tensor& e) const {
  torch::Tensor state = torch::zeros({e.size(0), e.size(2)});
  std::vector<torch::Tensor> factors;
  for (int64_t j = 0; j < e.size(1); ++j) {
    const torch::Tensor z = torch::cat({state, e.select(1, j), hidden.select(1, j)}, -1);
    const auto parts = decoder_.linear(z, "markov_head.joint_proj").chunk(3, -1);
    const torch::Tensor gate = torch::sigmoid(parts[0]);
    state = gate * state + (1 - gate) * torch::tanh(parts[1]);
    factors.push_back(torch::tanh(parts[2]));  // of the state before, spec B.3
  }
  return torch::stack(factors, 1);
}

torch::Tensor BlockNet::bias(const torch::Tensor& hidden, const torch::Tensor& e) const {
  torch::Tensor factor = e;
  if (config_.markov_head == draft::MarkovHead::kGated)
    factor =
        torch::sigmoid(decoder_.linear(torch::cat({hidden, e}, -1), "markov_head.gate_proj")) * e;
  else if (config_.markov_head == draft::MarkovHead::kRnn)
    factor = rnn_factors(hidden, e);
  return decoder_.product(factor.flatten(0, 1), parameters_["markov_head.markov_w2.weight"]);
}

BlockOutput BlockNet::forward(const BlockBatch& batch) const {
  const int64_t first = config_.anchor_predicts ? 0 : 1;
  BlockOutput out;
  out.hidden = backbone(batch).slice(1, first);
  out.logits = decoder_.logits(out.hidden.flatten(0, 1), tables_.head);
  torch::Tensor e;
  if (config_.markov_rank > 0) {
    e = parameters_["markov_head.markov_w1.weight"]
            .index_select(0, batch.previous.flatten())
            .view({batch.blocks(), config_.slots(), config_.markov_rank});
    out.logits = out.logits + bias(out.hidden, e);
  }
  if (config_.confidence_head) {
    const torch::Tensor input =
        config_.confidence_with_markov ? torch::cat({out.hidden, e}, -1) : out.hidden;
    out.confidence = torch::linear(input, parameters_["confidence_head.proj.weight"],
                                   parameters_["confidence_head.proj.bias"])
                         .squeeze(-1);
  }
  return out;
}

torch::Tensor BlockNet::target_probabilities(const BlockBatch& batch) const {
  return decoder_.target_probabilities(batch.target_hidden, batch.target_log_sum, tables_.head);
}

}  // namespace dspark::train
