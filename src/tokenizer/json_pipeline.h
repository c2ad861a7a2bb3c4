// tokenizer.json's normaliser, pre-tokenizer and post-processor.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tokenizer/bpe_impl.h"

namespace dspark::tokenizer {

// Reads normalizer and pre_tokenizer of the file into impl; what is not supported is an error naming it. A
// byte-level pipeline leaves "byte-level" in impl.pre_tokenizer_name.
Status read_pipeline(const std::string& name, const nlohmann::json& root, Tokenizer::Impl& impl);

// The special token that a TemplateProcessing post-processor puts first; empty when there is none.
std::string leading_special_token(const nlohmann::json& root);

}  // namespace dspark::tokenizer
