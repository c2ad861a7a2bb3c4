// Public header of the room compute: packed matrices, quantised activations, and one table of
// kernels for each instruction set. ref defines; the others give the same bits.
#pragma once

#include "compute/activations.h"
#include "compute/aligned_buffer.h"
#include "compute/isa.h"
#include "compute/kernels.h"
#include "compute/packed_matrix.h"
