// Public header of the room tensor: element types, block layouts, views.
#pragma once

#include "tensor/blocks.h"
#include "tensor/dtype.h"
#include "tensor/half.h"
#include "tensor/view.h"
