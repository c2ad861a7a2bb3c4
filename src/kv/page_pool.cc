#include "kv/page_pool.h"

#include <cstring>
#include <utility>

namespace dspark::kv {

Shape::Shape(std::vector<LayerShape> layers) : layers_(std::move(layers)), offsets_{0} {
  for (const LayerShape& layer : layers_)
    offsets_.push_back(offsets_.back() +
                       static_cast<size_t>(layer.kv_heads) * 2 * layer.head_bytes());
}

PagePool::PagePool(Shape shape, int64_t pages)
    : shape_(std::move(shape)),
      pages_(pages),
      memory_(static_cast<size_t>(pages) * shape_.page_bytes()),
      users_(static_cast<size_t>(pages), 0) {
  free_.reserve(static_cast<size_t>(pages));
  for (int64_t page = pages; page-- > 0;) free_.push_back(static_cast<PageId>(page));
}

PageId PagePool::take() {
  CHECK(!free_.empty());
  const PageId page = free_.back();
  free_.pop_back();
  users_[static_cast<size_t>(page)] = 1;
  return page;
}

void PagePool::use(PageId page) {
  CHECK(users(page) > 0, "page {} is free", page);
  ++users_[static_cast<size_t>(page)];
}

void PagePool::give(PageId page) {
  CHECK(users(page) > 0, "page {} given back twice", page);
  if (--users_[static_cast<size_t>(page)] == 0) free_.push_back(page);
}

void PagePool::copy(PageId from, PageId to) {
  const auto at = [&](PageId page) {
    return memory_.data() + static_cast<size_t>(page) * shape_.page_bytes();
  };
  std::memcpy(at(to), at(from), shape_.page_bytes());
}

Sequence::Sequence(Sequence&& other) noexcept
    : pool_(other.pool_),
      pages_(std::exchange(other.pages_, {})),
      length_(std::exchange(other.length_, 0)) {}

Sequence::~Sequence() { clear(); }

void Sequence::clear() {
  for (PageId page : pages_) pool_->give(page);
  pages_.clear();
  length_ = 0;
}

void Sequence::expect(int64_t positions) {
  pages_.reserve(static_cast<size_t>((positions + kPositions - 1) / kPositions));
}

bool Sequence::reserve(int64_t positions) {
  const int64_t wanted = (positions + kPositions - 1) / kPositions;
  const int64_t missing = wanted - static_cast<int64_t>(pages_.size());
  if (missing > pool_->free_pages()) return false;
  for (int64_t i = 0; i < missing; ++i) pages_.push_back(pool_->take());
  return true;
}

void Sequence::extend(int64_t rows) {
  CHECK(rows >= 0 && length_ + rows <= capacity(), "{} + {} rows, room for {}", length_, rows,
        capacity());
  length_ += rows;
}

void Sequence::truncate(int64_t length) {
  CHECK(length >= 0 && length <= length_, "truncate {} rows to {}", length_, length);
  length_ = length;
}

}  // namespace dspark::kv
