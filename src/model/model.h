// Public header of the room model: decoder families and their ragged forward pass.
#pragma once

#include "compute/compute.h"
#include "kv/kv.h"
#include "model/forward.h"
#include "model/load.h"
#include "model/spec.h"
