#include "grammar/token_trie.h"

#include <algorithm>
#include <string_view>

namespace dspark::grammar {

TokenTrie::TokenTrie(const tokenizer::Tokenizer& tokenizer, int32_t vocab_size)
    : tokenizer_(tokenizer), vocab_size_(vocab_size) {
  const std::vector<int32_t>& stops = tokenizer.stop_ids();
  std::vector<std::pair<std::string_view, int32_t>> tokens;
  for (int32_t id = 0; id < std::min(vocab_size, tokenizer.vocab_size()); ++id) {
    const std::string_view bytes = tokenizer.token_bytes(id);
    if (!bytes.empty() && !std::binary_search(stops.begin(), stops.end(), id))
      tokens.emplace_back(bytes, id);
  }
  std::sort(tokens.begin(), tokens.end());
  std::vector<size_t> path;  // by depth - 1: the node there
  const auto close = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back())
      nodes_[path.back()].skip = static_cast<int32_t>(nodes_.size());
  };
  std::string_view last;
  for (const auto& [bytes, id] : tokens) {
    const auto shared = static_cast<size_t>(
        std::mismatch(last.begin(), last.end(), bytes.begin(), bytes.end()).first - last.begin());
    close(std::min(shared, bytes.size() - 1));
    for (size_t i = path.size(); i < bytes.size(); ++i) {
      path.push_back(nodes_.size());
      nodes_.push_back({-1, static_cast<int32_t>(i) + 1, 0, static_cast<uint8_t>(bytes[i])});
    }
    nodes_.back().token = id;
    deepest_ = std::max(deepest_, nodes_.back().depth);
    last = bytes;
  }
  close(0);
}

}  // namespace dspark::grammar
