// Public header of the room base: what every other room may rely on.
#pragma once

#include "base/check.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/real_math.h"
#include "base/result.h"
#include "base/thread_pool.h"
#include "base/words.h"
