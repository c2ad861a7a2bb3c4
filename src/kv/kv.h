// Public header of the room kv: the paged key/value cache, and which prefixes lie in it.
#pragma once

#include "kv/page_pool.h"
#include "kv/prefix_index.h"
