#include "tokenizer/bpe.h"
#include "tokenizer/utf8.h"

namespace dspark::tokenizer {

constexpr const char* kReplacement = "\xef\xbf\xbd";  // U+FFFD

// Gives whole characters, and one U+FFFD for each longest run of bytes that began a character and
// can no longer become one (as Unicode recommends); waits where more bytes may still complete it.
std::string StreamDecoder::push(int32_t id) {
  pending_ += tokenizer_->token_bytes(id);
  std::string text;
  size_t at = 0;
  while (at < pending_.size()) {
    const std::string_view rest = std::string_view(pending_).substr(at);
    if (const Utf8Char c = read_utf8(rest); c.length > 0) {
      text += rest.substr(0, static_cast<size_t>(c.length));
      at += static_cast<size_t>(c.length);
      continue;
    }
    const BrokenUtf8 broken = read_broken_utf8(rest);
    if (!broken.complete) break;
    text += kReplacement;
    at += static_cast<size_t>(broken.length);
  }
  pending_.erase(0, at);
  return text;
}

std::string StreamDecoder::flush() {
  std::string text = pending_.empty() ? "" : kReplacement;
  pending_.clear();
  return text;
}

}  // namespace dspark::tokenizer
