// tokenizer.json's normaliser, pre-tokenizer and post-processor.
#pragma once

#include <simdjson.h>

#include <string>

#include "tokenizer/bpe_impl.h"

namespace dspark::tokenizer {

// Reads normalizer and pre_tokenizer of the file into impl. What is not supported is an error that
// names it. byte_level: whether the pipeline spells text in bytes.
Status read_pipeline(const std::string& file, simdjson::dom::object root, Tokenizer::Impl& impl,
                     bool* byte_level);

// The special token that a TemplateProcessing post-processor puts first; empty when there is none.
std::string leading_special_token(simdjson::dom::object root);

// The member of an object, where it is there and of the type; otherwise the fallback.
bool bool_at(simdjson::dom::object object, std::string_view key, bool fallback);
std::string_view text_at(simdjson::dom::object object, std::string_view key);

}  // namespace dspark::tokenizer
