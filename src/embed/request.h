// From the host's options and requests to the engine's. Errors here are the host's, not the
// model's.
#pragma once

#include <nlohmann/json.hpp>

#include "dspark/dspark.h"
#include "engine/engine.h"

namespace dspark::embed {

// What the engine is to be; its drafter as the host named it.
Result<engine::Options> options_of(const dspark_engine_options& given);

// All but the prompt's ids.
Result<engine::Request> settings_of(const dspark_request& given);
// An error unless the prompt is given in one of its three forms.
Status check_prompt(const dspark_request& given);

// The variables of a chat template, from JSON: a list of messages, or an object of all of them.
Result<nlohmann::ordered_json> chat_context(const char* json);
// The ids of a prompt that check_prompt() let pass.
Result<std::vector<int32_t>> prompt_ids(const dspark_request& given,
                                        const tokenizer::PromptEncoder& encoder);

}  // namespace dspark::embed
