// Public header of the room train: drafters trained on libtorch. Its host is dspark-learn.
//
//   recipe.h      everything that decides what a run becomes
//   trainer.h     a run, from recipe to checkpoint
//   corpus.h, feature_store.h, plan.h    what goes in: conversations, features, the drafter to be
//   block_net.h, eagle3_net.h, losses.h  forward passes and losses
//   state.h, run_files.h                 what it leaves, and goes on from
#pragma once

#include "train/recipe.h"
#include "train/trainer.h"
