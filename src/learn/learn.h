// Public header of the room learn: from prompts to a trained, calibrated drafter, as far as no
// libtorch is needed.
//
//   prompts.h         prompt files as training data: rows to be answered
//   corpus_row.h      a row of a corpus: a conversation, its tokens, what is trained on
//   corpus_file.h     a corpus being written: resumable, in the prompts' order at the end
//   corpus_options.h  what a corpus was made with, kept beside it
//   corpus.h          a corpus read for training
//   chat_mask.h       which tokens of a rendered conversation are the assistant's
//   target_cache.h    DeepSpec's cache of target features, read and written
//   epoch_order.h     the order in which an epoch visits samples
//   token_counts.h    token frequencies and the draft vocabulary
//   digest.h          what tells files and models apart
#pragma once

#include "learn/chat_mask.h"
#include "learn/corpus.h"
#include "learn/corpus_file.h"
#include "learn/corpus_options.h"
#include "learn/corpus_row.h"
#include "learn/digest.h"
#include "learn/epoch_order.h"
#include "learn/faults.h"
#include "learn/prompts.h"
#include "learn/target_cache.h"
#include "learn/token_counts.h"
