#include "kv/prefix_index.h"

#include <algorithm>

namespace dspark::kv {

int64_t PrefixIndex::common(const Node& node, std::span<const int32_t> tokens) const {
  const size_t most = std::min(tokens.size(), node.tokens.size());
  const auto end = node.tokens.begin() + static_cast<std::ptrdiff_t>(most);
  const auto same = std::mismatch(node.tokens.begin(), end, tokens.begin()).first;
  return std::max<int64_t>(same - node.tokens.begin() - look_ahead_, 0);
}

PrefixIndex::Match PrefixIndex::find(std::span<const int32_t> tokens) {
  Match match;
  Node* at = &root_;
  ++clock_;
  for (bool whole = true; whole;) {
    Node* best = nullptr;
    int64_t most = 0;
    const auto rest = tokens.subspan(static_cast<size_t>(match.rows));
    for (const auto& child : at->children) {
      const int64_t rows = common(*child, rest);
      if (rows > most) most = rows, best = child.get();
    }
    if (best == nullptr) break;
    best->used = clock_;
    match.pages.push_back(best->page);
    if (match.drafter_rows == match.rows) match.drafter_rows += std::min(most, best->drafter_rows);
    match.rows += most;
    whole = most == kPositions;
    at = best;
  }
  return match;
}

void PrefixIndex::give(const Match& match, int64_t rows, Sequence& sequence) {
  CHECK(sequence.pages_.empty() && rows <= match.rows, "{} rows of {}", rows, match.rows);
  const auto filled = static_cast<size_t>(rows / kPositions);
  for (size_t p = 0; p < filled; ++p) {
    pool_->use(match.pages[p]);
    sequence.pages_.push_back(match.pages[p]);
  }
  sequence.length_ = static_cast<int64_t>(filled) * kPositions;
  if (rows == sequence.length_) return;
  const PageId last = match.pages[filled];
  pool_->use(last);  // or making a page free might take this one
  if (make_free(1)) {
    sequence.pages_.push_back(pool_->take());
    pool_->copy(last, sequence.pages_.back());
    sequence.length_ = rows;
  }
  pool_->give(last);
}

void PrefixIndex::add(std::span<const int32_t> tokens, int64_t rows, std::span<const PageId> pages,
                      int64_t drafter_rows) {
  if (most_ == 0) return;
  Node* at = &root_;
  ++clock_;
  const auto width = static_cast<size_t>(kPositions + look_ahead_);
  for (size_t p = 0; static_cast<int64_t>(p + 1) * kPositions <= rows; ++p) {
    const auto first = p * kPositions;
    if (first + width > tokens.size()) break;
    const auto own = tokens.subspan(first, width);
    const int64_t drafted =
        std::clamp<int64_t>(drafter_rows - static_cast<int64_t>(first), 0, int64_t{kPositions});
    const auto known = std::find_if(at->children.begin(), at->children.end(),
                                    [&](const auto& c) { return common(*c, own) == kPositions; });
    Node* node = nullptr;
    if (known == at->children.end()) {
      node = at->children.emplace_back(std::make_unique<Node>()).get();
      node->tokens.assign(own.begin(), own.end());
      node->parent = at;
      node->page = pages[p];
      pool_->use(node->page);
      ++pages_;
    } else {
      node = known->get();
      if (node->page != pages[p] && node->drafter_rows < drafted) {
        pool_->use(pages[p]);
        pool_->give(node->page);
        node->page = pages[p];
      }
    }
    if (node->page == pages[p]) node->drafter_rows = std::max(node->drafter_rows, drafted);
    node->used = clock_;
    at = node;
  }
  for (Node* least = &root_; pages_ > most_ && least != nullptr;)
    if ((least = least_used(root_)) != nullptr) forget(*least);
}

// A page without known ones behind it that nobody else uses, the longest unused; null: none.
PrefixIndex::Node* PrefixIndex::least_used(Node& below) const {
  Node* least = nullptr;
  for (const auto& child : below.children) {
    Node* found = child->children.empty() && pool_->users(child->page) == 1 ? child.get()
                                                                            : least_used(*child);
    if (found != nullptr && (least == nullptr || found->used < least->used)) least = found;
  }
  return least;
}

void PrefixIndex::forget(Node& node) {
  pool_->give(node.page);
  --pages_;
  auto& siblings = node.parent->children;
  std::erase_if(siblings, [&](const auto& c) { return c.get() == &node; });
}

bool PrefixIndex::make_free(int64_t pages) {
  while (pool_->free_pages() < pages) {
    Node* least = least_used(root_);
    if (least == nullptr) return false;
    forget(*least);
  }
  return true;
}

// all: whether every page there can go, so that the one before them can, too.
int64_t PrefixIndex::unused_below(const Node& node, bool* all) const {
  int64_t sum = 0;
  *all = true;
  for (const auto& child : node.children) {
    bool below = true;
    sum += unused_below(*child, &below);
    if (below && pool_->users(child->page) == 1)
      ++sum;
    else
      *all = false;
  }
  return sum;
}

int64_t PrefixIndex::unused() const {
  bool all = true;
  return unused_below(root_, &all);
}

void PrefixIndex::clear() {
  // From the leaves up: a long text is a deep tree, whose destructors would nest as deep.
  Node* at = &root_;
  while (at != &root_ || !at->children.empty()) {
    if (!at->children.empty()) {
      at = at->children.back().get();
      continue;
    }
    Node* parent = at->parent;
    pool_->give(at->page);
    parent->children.pop_back();
    at = parent;
  }
  pages_ = 0;
}

}  // namespace dspark::kv
