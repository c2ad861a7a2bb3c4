// A byte-level BPE vocabulary of any size, as GGUF metadata: it encodes every text, mostly byte by
// byte.
#pragma once

#include <cstdint>

#include "formats/formats.h"

namespace dspark {

constexpr int64_t kSmallestVocabulary = 320;

// Sets tokenizer.ggml.* and tokenizer.chat_template: 256 byte tokens, the results of a few merges,
// filler tokens, and at the end the control tokens <|endoftext|>, <|im_start|> and <|im_end|>.
void set_vocabulary(int64_t tokens, formats::GgufWriter& writer);

}  // namespace dspark
