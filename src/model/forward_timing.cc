// How long a step's matrix products take, without the rest.
#include <algorithm>
#include <chrono>

#include "model/forward.h"
#include "model/forward_buffers.h"

namespace dspark::model {

using compute::Activations;
using compute::PackedMatrix;

double Forward::time_matrices_ms(int rows, int repetitions) {
  Buffers& b = *buffers_;
  CHECK(rows <= limits_.rows && rows <= limits_.logit_rows);
  b.for_layer.reshape(rows, spec_.hidden);
  if (spec_.pairs_embedding) b.for_pair.reshape(rows, spec_.attention_input());
  const Activations& attention_input = spec_.pairs_embedding ? b.for_pair : b.for_layer;
  b.for_down.reshape(rows, spec_.ffn);
  b.for_head.reshape(rows, spec_.hidden);
  for (size_t k = 0; k < b.kinds.size(); ++k)
    b.kinds[k].for_output.reshape(rows, spec_.heads * spec_.kinds[k].head_dim);
  std::vector<double> times;
  for (int i = 0; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    pool_.run([&](int thread) {
      const auto one = [&](const PackedMatrix& m, compute::AlignedBuffer& out, int64_t stride,
                           const Activations& x) {
        if (m.empty()) return;
        const Range range = split_range(m.tiles(), pool_.threads(), thread);
        kernels_.matmul(m, x.view(), range.begin, range.end, out.as<float>(), stride);
        pool_.barrier();
      };
      for (int l = 0; l < spec_.layers; ++l) {
        const Layer& layer = model_.layers[static_cast<size_t>(l)];
        one(layer.q, b.q, b.q_width, attention_input);
        one(layer.k, b.k, b.kv_width, attention_input);
        one(layer.v, b.v, b.kv_width, attention_input);
        one(layer.o, b.product, b.hidden, b.kind(l).for_output);
        one(layer.gate, b.gate, b.ffn, b.for_layer);
        one(layer.up, b.up, b.ffn, b.for_layer);
        one(layer.down, b.product, b.hidden, b.for_down);
      }
      one(model_.output_head(), b.logits, b.vocab, b.for_head);
    });
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    times.push_back(took.count());
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

}  // namespace dspark::model
