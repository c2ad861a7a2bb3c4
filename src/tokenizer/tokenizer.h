// Public header of the room tokenizer: text to token ids and back, and chat templates.
#pragma once

#include "tokenizer/bpe.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/prompt_encoder.h"
#include "tokenizer/utf8.h"
