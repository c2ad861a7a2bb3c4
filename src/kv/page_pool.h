// The paged key/value cache.
//
// A page holds kPositions consecutive positions of one request for all layers (the target's and the
// drafter's) and key/value heads, in cells of float16 (or float, for models run in float). Within a
// (layer, head): keys
// [4][head_dim][16] (position 16 p + lane at [p][:][lane], so that scores of 16 positions are one
// vector), then values [64][head_dim].
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/base.h"
#include "compute/compute.h"

namespace dspark::kv {

inline constexpr int kPositions = compute::kAttentionBlock;

// A layer's cells in a page.
struct LayerShape {
  int kv_heads = 0, head_dim = 0;
  int cell_bytes = 2;  // 2: float16, 4: float
  size_t head_bytes() const {
    return static_cast<size_t>(kPositions) * static_cast<size_t>(head_dim * cell_bytes);
  }
};

// A page: the target's layers, then the drafter's, one after the other.
class Shape {
 public:
  explicit Shape(std::vector<LayerShape> layers);
  const LayerShape& layer(int l) const { return layers_[static_cast<size_t>(l)]; }
  int layers() const { return static_cast<int>(layers_.size()); }
  size_t layer_offset(int l) const { return offsets_[static_cast<size_t>(l)]; }
  size_t page_bytes() const { return offsets_.back(); }

 private:
  std::vector<LayerShape> layers_;
  std::vector<size_t> offsets_;  // [layers + 1]
};

using PageId = int32_t;

// All pages of an engine; memory that no page has used yet is not resident. Not thread-safe.
class PagePool {
 public:
  PagePool(Shape shape, int64_t pages);

  const Shape& shape() const { return shape_; }
  int64_t pages() const { return pages_; }
  int64_t free_pages() const { return static_cast<int64_t>(free_.size()); }
  // How many hold it: requests, and the index of prefixes.
  int users(PageId page) const { return users_[static_cast<size_t>(page)]; }

  uint8_t* keys(PageId page, int layer, int head) {
    return memory_.data() + static_cast<size_t>(page) * shape_.page_bytes() +
           shape_.layer_offset(layer) +
           static_cast<size_t>(head) * 2 * shape_.layer(layer).head_bytes();
  }
  uint8_t* values(PageId page, int layer, int head) {
    return keys(page, layer, head) + shape_.layer(layer).head_bytes();
  }

 private:
  friend class Sequence;
  friend class PrefixIndex;
  PageId take();           // for its first user
  void use(PageId page);   // one user more
  void give(PageId page);  // one less; free without any
  void copy(PageId from, PageId to);

  Shape shape_;
  int64_t pages_;
  compute::AlignedBuffer memory_;
  std::vector<PageId> free_;    // the most recently given back is taken first
  std::vector<int32_t> users_;  // [pages]
};

// The page table of one request. Rows [0, length) are committed; rows beyond may be written by a
// step and are committed by extend() or simply written over later (roll-back is not extending).
class Sequence {
 public:
  explicit Sequence(PagePool& pool) : pool_(&pool) {}
  Sequence(Sequence&& other) noexcept;
  Sequence& operator=(Sequence&&) = delete;
  ~Sequence();

  void clear();  // gives all its pages back

  void expect(int64_t positions);  // so that reserving as many later takes no memory
  // Makes room for positions [0, positions). False, and nothing changed, when the pool lacks pages.
  bool reserve(int64_t positions);
  int64_t capacity() const { return static_cast<int64_t>(pages_.size()) * kPositions; }

  int64_t length() const { return length_; }
  void extend(int64_t rows);      // commits rows that a step has written
  void truncate(int64_t length);  // takes committed rows back; keeps the pages

  const std::vector<PageId>& pages() const { return pages_; }

 private:
  friend class PrefixIndex;
  PagePool* pool_;
  std::vector<PageId> pages_;
  int64_t length_ = 0;
};

}  // namespace dspark::kv
