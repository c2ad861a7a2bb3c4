// Attention over the paged cache. Every (row, query head) merges the parts of blocks of 64 absolute
// positions in ascending order, whoever computed them: an item takes all blocks of some rows, or,
// when few rows have a long context, some blocks, leaving parts that are merged after.
#include <algorithm>
#include <limits>

#include "model/forward.h"
#include "model/forward_buffers.h"

namespace dspark::model {

using compute::AttentionState;
using compute::kAttentionBlock;

namespace {

int blocks_of(int64_t positions) {
  return static_cast<int>((positions + kAttentionBlock - 1) / kAttentionBlock);
}

// A row sees positions [seen_from, seen_to), its own among them.
int64_t seen_to(const Segment& segment, int row) {
  return segment.position + (segment.is_block ? segment.rows : row - segment.first_row + 1);
}
int64_t seen_from(const AttentionKind& kind, const Segment& segment, int row) {
  const int64_t position = segment.position + row - segment.first_row;
  return kind.window == 0 ? segment.seen_from
                          : std::max(position - kind.window + 1, segment.seen_from);
}

// The blocks that rows of a segment see.
int first_block(const AttentionKind& kind, const Segment& segment, int first_row) {
  return static_cast<int>(seen_from(kind, segment, first_row) / kAttentionBlock);
}
int end_block(const Segment& segment, int last_row) {
  return blocks_of(seen_to(segment, last_row));
}
int last_row(const Segment& segment) { return segment.first_row + segment.rows - 1; }

}  // namespace

void Forward::plan_attention(const AttentionKind& kind, AttentionPlan& plan) {
  plan.items.clear();
  plan.has_partials = false;
  const auto segments = static_cast<int>(segments_.size());
  const bool few = segments * kind.kv_heads < 4 * pool_.threads();
  const bool uneven = few && segments * kind.kv_heads % pool_.threads() != 0;
  int64_t partial = 0;
  for (int s = 0; s < segments; ++s) {
    const Segment& segment = segments_[static_cast<size_t>(s)];
    const int begin = first_block(kind, segment, segment.first_row);
    const int end = end_block(segment, last_row(segment));
    const int64_t states = int64_t{segment.rows} * spec_.heads * (end - begin);
    const bool split = few && segment.rows <= kSplitRows && end - begin > 2 * kSplitBlocks &&
                       partial + states <= buffers_->max_partials;
    const bool halve = uneven && !split && segment.rows > 2 && end - begin > 1;
    const int item_rows = halve ? std::min((segment.rows + 1) / 2, kAttentionRows) : kAttentionRows;
    for (int h = 0; h < kind.kv_heads; ++h) {
      if (!split) {
        for (int r = 0; r < segment.rows; r += item_rows) {
          const int row = segment.first_row + r, rows = std::min(item_rows, segment.rows - r);
          plan.items.push_back({s, h, row, rows, first_block(kind, segment, row),
                                end_block(segment, row + rows - 1), true, -1});
        }
        continue;
      }
      // Parts of a head: [row][query of the group][block].
      for (int b = begin; b < end; b += kSplitBlocks)
        plan.items.push_back({s, h, segment.first_row, segment.rows, b,
                              std::min(b + kSplitBlocks, end), b == begin, partial});
      partial += states / kind.kv_heads;
      plan.has_partials = true;
    }
  }
  // The longest items first, so that no thread ends with one.
  std::sort(
      plan.items.begin(), plan.items.end(), [](const AttentionItem& x, const AttentionItem& y) {
        return x.rows * (x.block_end - x.block_begin) > y.rows * (y.block_end - y.block_begin);
      });
}

void Forward::attend(int thread, int layer) {
  std::atomic<int>& next = next_item_[static_cast<size_t>(layer)];
  const std::vector<AttentionItem>& items = plan(layer).items;
  const int count = static_cast<int>(items.size());
  for (int i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
    const int after = i + pool_.threads();  // most likely this thread's next
    const uint8_t* ahead = nullptr;
    if (after < count) {
      const AttentionItem& item = items[static_cast<size_t>(after)];
      ahead = cells(item, item.block_begin, layer);
    }
    attend_item(items[static_cast<size_t>(i)], layer, thread, ahead);
  }
}

const uint8_t* Forward::cells(const AttentionItem& item, int block, int layer) const {
  const kv::Sequence& sequence = *segments_[static_cast<size_t>(item.segment)].sequence;
  return pages_.keys(sequence.pages()[static_cast<size_t>(block)], first_layer_ + layer,
                     item.kv_head);
}

// next: cells that the thread will most likely read after this item, or null.
void Forward::attend_item(const AttentionItem& item, int layer, int thread, const uint8_t* next) {
  Buffers& b = *buffers_;
  Buffers::Thread& scratch = b.threads[static_cast<size_t>(thread)];
  const Segment& segment = segments_[static_cast<size_t>(item.segment)];
  const AttentionKind& kind = spec_.attention(layer);
  const int64_t d = kind.head_dim;
  const int group = spec_.heads / kind.kv_heads, queries = item.rows * group;
  const float scale = kind.score_scale();
  const int first_of_segment = first_block(kind, segment, segment.first_row);
  const int blocks = end_block(segment, last_row(segment)) - first_of_segment;
  const compute::AttendBlock attend_block =
      pages_.shape().layer(first_layer_ + layer).cell_bytes == 4 ? kernels_.attend_block_f32
                                                                 : kernels_.attend_block_f16;
  const std::vector<float>& norm = model_.layers[static_cast<size_t>(layer)].q_norm;
  for (int i = 0; i < queries; ++i) {
    // A copy: a head's other items need it as it was.
    float* query = b.row(scratch.rotated, i, d);
    const int row = item.first_row + i / group, head = item.kv_head * group + i % group;
    std::copy_n(b.row(b.q, row, b.q_width) + head * d, d, query);
    rotate_head(layer, query, norm, row);
    scratch.queries[static_cast<size_t>(i)] = query;
    AttentionState& total = scratch.total[static_cast<size_t>(i)];
    total.max = -std::numeric_limits<float>::infinity();
    total.sum = 0;
    std::fill_n(total.values, d, 0.0f);
  }
  const bool sees_all = kind.window == 0 && segment.seen_from == 0;
  for (int block = item.block_begin; block < item.block_end; ++block) {
    // Later rows see more and, under a window, begin later: those that see this block are in a row.
    const int64_t start = int64_t{block} * kAttentionBlock;
    int first = queries, end = queries;
    for (int i = queries; i-- > 0;) {
      const int row = item.first_row + i / group;
      const int64_t to = seen_to(segment, row) - start,
                    from = seen_from(kind, segment, row) - start;
      if (to <= 0) break;
      first = i;
      if (from >= kAttentionBlock) end = i;
      scratch.begins[static_cast<size_t>(i)] = static_cast<int>(std::max<int64_t>(from, 0));
      scratch.ends[static_cast<size_t>(i)] =
          static_cast<int>(std::min<int64_t>(to, kAttentionBlock));
    }
    if (first == end) continue;
    const kv::PageId page = segment.sequence->pages()[static_cast<size_t>(block)];
    // With many rows arithmetic takes longest, and the hint only costs.
    const uint8_t* following = item.rows > kMemoryBoundRows ? nullptr
                               : block + 1 < item.block_end ? cells(item, block + 1, layer)
                                                            : next;
    const auto at = static_cast<size_t>(first);
    attend_block(&scratch.queries[at], end - first, d,
                 pages_.keys(page, first_layer_ + layer, item.kv_head),
                 pages_.values(page, first_layer_ + layer, item.kv_head),
                 sees_all ? nullptr : &scratch.begins[at], &scratch.ends[at], scale, following,
                 &scratch.part[at]);
    if (item.partial < 0) {
      kernels_.attend_merge(&scratch.total[at], &scratch.part[at], end - first, d);
      continue;
    }
    for (int i = first; i < end; ++i) {
      const AttentionState& part = scratch.part[static_cast<size_t>(i)];
      AttentionState& kept = b.partials[static_cast<size_t>(item.partial + int64_t{i} * blocks +
                                                            block - first_of_segment)];
      kept.max = part.max;
      kept.sum = part.sum;
      std::copy_n(part.values, d, kept.values);
    }
  }
  if (item.partial >= 0) return;
  for (int i = 0; i < queries; ++i)
    kernels_.attend_finish(scratch.total[static_cast<size_t>(i)], d,
                           b.row(b.attended, item.first_row + i / group, b.q_width) +
                               (item.kv_head * group + i % group) * d);
  for (int r = 0; r < item.rows; ++r)
    put_attended(layer, item.first_row + r, item.kv_head * group, group);
}

void Forward::merge_partials(int thread, int layer) {
  Buffers& b = *buffers_;
  AttentionState& total = b.threads[static_cast<size_t>(thread)].total[0];
  const AttentionKind& kind = spec_.attention(layer);
  const int64_t d = kind.head_dim;
  const int group = spec_.heads / kind.kv_heads;
  int unit = 0;
  for (const AttentionItem& item : plan(layer).items) {
    if (item.partial < 0 || !item.leads) continue;  // one item of each (segment, head)
    const Segment& segment = segments_[static_cast<size_t>(item.segment)];
    const int parts = end_block(segment, last_row(segment)) - item.block_begin;
    for (int i = 0; i < item.rows * group; ++i) {
      if (unit++ % pool_.threads() != thread) continue;
      total.max = -std::numeric_limits<float>::infinity();
      total.sum = 0;
      std::fill_n(total.values, d, 0.0f);
      const int row = item.first_row + i / group, head = item.kv_head * group + i % group;
      const AttentionState* of_query = &b.partials[static_cast<size_t>(item.partial + i * parts)];
      for (int block = first_block(kind, segment, row); block < end_block(segment, row); ++block)
        kernels_.attend_merge(&total, &of_query[block - item.block_begin], 1, d);
      kernels_.attend_finish(total, d, b.row(b.attended, row, b.q_width) + head * d);
      put_attended(layer, row, head, 1);
    }
  }
}

// Attention outputs to the form that the output projection reads: at once where heads are whole
// scale groups, else by collect() when all heads are done.
void Forward::put_attended(int layer, int row, int head, int heads) {
  Buffers& b = *buffers_;
  const int64_t d = spec_.attention(layer).head_dim;
  if (d % compute::kGroup == 0)
    put(b.row(b.attended, row, b.q_width) + head * d, row, head * d, (head + heads) * d,
        b.kind(layer).for_output, row);
}

void Forward::collect(int thread, int layer) {
  Buffers& b = *buffers_;
  const int64_t width = spec_.q_width(layer);
  const int64_t parts = width % compute::kGroup == 0 ? width / compute::kGroup : 1,
                part = width / parts;
  const Range range = split_range(rows_ * parts, pool_.threads(), thread);
  for (int64_t u = range.begin; u < range.end;) {
    const int row = static_cast<int>(u / parts);
    const int64_t begin = u % parts, end = std::min(parts, begin + range.end - u);
    put(b.row(b.attended, row, b.q_width) + begin * part, row, begin * part, end * part,
        b.kind(layer).for_output, row);
    u += end - begin;
  }
}

}  // namespace dspark::model
