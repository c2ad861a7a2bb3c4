// Public header of the room draft: drafters, their checkpoints, and what comes out of them.
#pragma once

#include "draft/design.h"
#include "draft/drafter.h"
#include "draft/drafter_file.h"
#include "draft/drafter_write.h"
#include "draft/tensor_table.h"
