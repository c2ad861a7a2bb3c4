// Which kernel tables this machine can run.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace dspark::compute {

struct Kernels;

// "ref", "avx2", "avx512" (VNNI where the machine has it), "auto" (the widest). nullptr when the
// name is unknown or the machine lacks the instructions.
const Kernels* kernels(std::string_view isa);

// Every table this machine runs, ref first: what tests go through. On a machine with VNNI the
// AVX-512 table without it ("avx512bw") is among them.
std::vector<const Kernels*> all_kernels();

}  // namespace dspark::compute
