// Public header of the room draft: drafters and their checkpoints.
#pragma once

#include "draft/drafter_file.h"
#include "draft/drafter_write.h"
