// Which full pages hold which tokens: a tree, each of whose nodes is a page and the tokens it
// holds. A request takes over the pages of the longest prefix that is known and computes what
// follows.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kv/page_pool.h"

namespace dspark::kv {

class PrefixIndex {
 public:
  // most_pages: known at most; 0: none ever are. look_ahead: 1 where a drafter's row depends on the
  // token after it; a page's last row is then only the same where that token is, too.
  PrefixIndex(PagePool& pool, int64_t most_pages, int look_ahead)
      : pool_(&pool), most_(most_pages), look_ahead_(look_ahead) {}
  ~PrefixIndex() { clear(); }
  PrefixIndex(const PrefixIndex&) = delete;
  PrefixIndex& operator=(const PrefixIndex&) = delete;

  // What is known of a text: `rows` rows of its beginning lie in `pages`, the last of which may
  // agree in its first rows alone.
  struct Match {
    std::vector<PageId> pages;
    int64_t rows = 0;
    int64_t drafter_rows = 0;  // of them, from the first on: the drafter has these, too
  };
  Match find(std::span<const int32_t> tokens);

  // Of an empty sequence: its first `rows` rows, at most the match's, are what was found,
  // committed. Pages that they fill are shared from now on; a last one that they don't fill is
  // copied, or, where no page can be free, left out.
  void give(const Match& match, int64_t rows, Sequence& sequence);

  // Makes a request's full pages known: `rows` rows of its text, `drafter_rows` of which the
  // drafter has. Pages that are known already stay, unless these hold more of the drafter's rows.
  void add(std::span<const int32_t> tokens, int64_t rows, std::span<const PageId> pages,
           int64_t drafter_rows);

  // Forgets pages that nobody else uses, the longest unused first, until so many are free. False
  // when it can't.
  bool make_free(int64_t pages);
  int64_t pages() const { return pages_; }  // known ones
  // Pages that make_free could free at most, besides those that are free.
  int64_t unused() const;
  void clear();  // forgets all

 private:
  struct Node {
    std::vector<int32_t> tokens;  // [kPositions + look-ahead]
    PageId page = -1;
    int64_t drafter_rows = 0;  // of this page
    uint64_t used = 0;         // when last
    Node* parent = nullptr;
    std::vector<std::unique_ptr<Node>> children;
  };
  // Rows of the node's page that the text has in common.
  int64_t common(const Node& node, std::span<const int32_t> tokens) const;
  Node* least_used(Node& below) const;
  void forget(Node& node);
  int64_t unused_below(const Node& node, bool* all) const;

  PagePool* pool_;
  int64_t most_;
  int look_ahead_;
  Node root_;
  int64_t pages_ = 0;
  uint64_t clock_ = 0;
};

}  // namespace dspark::kv
