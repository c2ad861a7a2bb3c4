// Attention over the paged cache. Every (row, query head) merges the parts of blocks of 64 absolute
// positions in ascending order, whoever computed them: an item takes all blocks of some rows, or,
// when few rows have a long context, some blocks, leaving parts that are merged after.
#include <algorithm>
#include <cmath>
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

// How many positions a row of the segment sees, its own included.
int64_t seen_by(const Segment& segment, int row) {
  return segment.position + (segment.is_block ? segment.rows : row - segment.first_row + 1);
}

}  // namespace

void Forward::plan_attention() {
  items_.clear();
  has_partials_ = has_long_segments_ = false;
  for (int l = 0; l < spec_.layers; ++l)
    next_item_[static_cast<size_t>(l)].store(0, std::memory_order_relaxed);
  const auto segments = static_cast<int>(segments_.size());
  const bool few = segments * spec_.kv_heads < 4 * pool_.threads();
  int64_t partial = 0;
  for (int s = 0; s < segments; ++s) {
    const Segment& segment = segments_[static_cast<size_t>(s)];
    const int blocks = blocks_of(segment.position + segment.rows);
    const int64_t states = int64_t{segment.rows} * spec_.heads * blocks;
    const bool split = few && segment.rows <= kSplitRows && blocks > 2 * kSplitBlocks &&
                       partial + states <= buffers_->max_partials;
    const bool is_long = split || segment.rows > kAttentionRows;
    has_long_segments_ |= is_long;
    for (int h = 0; h < spec_.kv_heads; ++h) {
      if (!split) {
        for (int r = 0; r < segment.rows; r += kAttentionRows) {
          const int rows = std::min(kAttentionRows, segment.rows - r);
          items_.push_back({s, h, segment.first_row + r, rows, 0,
                            blocks_of(seen_by(segment, segment.first_row + r + rows - 1)), is_long,
                            -1});
        }
        continue;
      }
      // Parts of a head: [row][query of the group][block].
      for (int b = 0; b < blocks; b += kSplitBlocks)
        items_.push_back({s, h, segment.first_row, segment.rows, b,
                          std::min(b + kSplitBlocks, blocks), is_long, partial});
      partial += states / spec_.kv_heads;
      has_partials_ = true;
    }
  }
  // The longest items first, so that no thread ends with one.
  std::sort(items_.begin(), items_.end(), [](const AttentionItem& a, const AttentionItem& b) {
    return a.rows * (a.block_end - a.block_begin) > b.rows * (b.block_end - b.block_begin);
  });
}

void Forward::attend(int thread, int layer) {
  std::atomic<int>& next = next_item_[static_cast<size_t>(layer)];
  const int count = static_cast<int>(items_.size());
  for (int i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) {
    const int after = i + pool_.threads();  // most likely this thread's next
    const uint8_t* ahead = nullptr;
    if (after < count) {
      const AttentionItem& item = items_[static_cast<size_t>(after)];
      ahead = cells(item, item.block_begin, layer);
    }
    attend_item(items_[static_cast<size_t>(i)], layer, thread, ahead);
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
  const int64_t d = spec_.head_dim;
  const int group = spec_.heads / spec_.kv_heads, queries = item.rows * group;
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d)));
  const int all_blocks = blocks_of(segment.position + segment.rows);
  const compute::AttendBlock attend_block =
      pages_.shape().layer(first_layer_ + layer).cell_bytes == 4 ? kernels_.attend_block_f32
                                                                 : kernels_.attend_block_f16;
  if (!item.is_long)
    rotate_and_store(thread, layer, segment, item.first_row, item.rows, item.kv_head);
  for (int i = 0; i < queries; ++i) {
    const int row = item.first_row + i / group;
    scratch.queries[static_cast<size_t>(i)] =
        b.row(b.q, row, b.q_width) + (item.kv_head * group + i % group) * d;
    AttentionState& total = scratch.total[static_cast<size_t>(i)];
    total.max = -std::numeric_limits<float>::infinity();
    total.sum = 0;
    std::fill_n(total.values, d, 0.0f);
  }
  for (int block = item.block_begin; block < item.block_end; ++block) {
    int first = queries;  // later rows see more: the rows that see this block are the last ones
    for (int i = queries; i-- > 0;) {
      const int64_t seen =
          seen_by(segment, item.first_row + i / group) - int64_t{block} * kAttentionBlock;
      if (seen <= 0) break;
      scratch.visible[static_cast<size_t>(i)] =
          static_cast<int>(std::min<int64_t>(seen, kAttentionBlock));
      first = i;
    }
    if (first == queries) continue;
    const kv::PageId page = segment.sequence->pages()[static_cast<size_t>(block)];
    // With many rows arithmetic takes longest, and the hint only costs.
    const uint8_t* following = item.rows > kMemoryBoundRows ? nullptr
                               : block + 1 < item.block_end ? cells(item, block + 1, layer)
                                                            : next;
    const auto at = static_cast<size_t>(first);
    attend_block(&scratch.queries[at], queries - first, d,
                 pages_.keys(page, first_layer_ + layer, item.kv_head),
                 pages_.values(page, first_layer_ + layer, item.kv_head), &scratch.visible[at],
                 scale, following, &scratch.part[at]);
    for (int i = first; i < queries; ++i) {
      const AttentionState& part = scratch.part[static_cast<size_t>(i)];
      if (item.partial < 0) {
        kernels_.attend_merge(scratch.total[static_cast<size_t>(i)], part, d);
      } else {
        AttentionState& kept =
            b.partials[static_cast<size_t>(item.partial + int64_t{i} * all_blocks + block)];
        kept.max = part.max;
        kept.sum = part.sum;
        std::copy_n(part.values, d, kept.values);
      }
    }
  }
  if (item.partial >= 0) return;
  for (int i = 0; i < queries; ++i)
    kernels_.attend_finish(scratch.total[static_cast<size_t>(i)], d,
                           b.row(b.attended, item.first_row + i / group, b.q_width) +
                               (item.kv_head * group + i % group) * d);
  for (int r = 0; r < item.rows; ++r) put_attended(item.first_row + r, item.kv_head * group, group);
}

void Forward::merge_partials(int thread) {
  Buffers& b = *buffers_;
  AttentionState& total = b.threads[static_cast<size_t>(thread)].total[0];
  const int64_t d = spec_.head_dim;
  const int group = spec_.heads / spec_.kv_heads;
  int unit = 0;
  for (const AttentionItem& item : items_) {
    if (item.partial < 0 || item.block_begin != 0) continue;  // one item of each (segment, head)
    const Segment& segment = segments_[static_cast<size_t>(item.segment)];
    const int all_blocks = blocks_of(segment.position + segment.rows);
    for (int i = 0; i < item.rows * group; ++i) {
      if (unit++ % pool_.threads() != thread) continue;
      total.max = -std::numeric_limits<float>::infinity();
      total.sum = 0;
      std::fill_n(total.values, d, 0.0f);
      const int seen = blocks_of(seen_by(segment, segment.first_row + i / group));
      for (int block = 0; block < seen; ++block)
        kernels_.attend_merge(
            total, b.partials[static_cast<size_t>(item.partial + int64_t{i} * all_blocks + block)],
            d);
      kernels_.attend_finish(total, d,
                             b.row(b.attended, item.first_row + i / group, b.q_width) +
                                 (item.kv_head * group + i % group) * d);
      put_attended(item.first_row + i / group, item.kv_head * group + i % group, 1);
    }
  }
}

// Attention outputs to the form that the output projection reads: at once where heads are whole
// scale groups, else by collect() when all heads are done.
void Forward::put_attended(int row, int head, int heads) {
  Buffers& b = *buffers_;
  const int64_t d = spec_.head_dim;
  if (d % compute::kGroup == 0)
    put(b.row(b.attended, row, b.q_width) + head * d, row, head * d, (head + heads) * d,
        b.for_output, row);
}

void Forward::collect(int thread) {
  Buffers& b = *buffers_;
  const int64_t width = spec_.q_width();
  const int64_t parts = width % compute::kGroup == 0 ? width / compute::kGroup : 1,
                part = width / parts;
  const Range range = split_range(rows_ * parts, pool_.threads(), thread);
  for (int64_t u = range.begin; u < range.end;) {
    const int row = static_cast<int>(u / parts);
    const int64_t begin = u % parts, end = std::min(parts, begin + range.end - u);
    put(b.row(b.attended, row, b.q_width) + begin * part, row, begin * part, end * part,
        b.for_output, row);
    u += end - begin;
  }
}

}  // namespace dspark::model
