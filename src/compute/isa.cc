#include "compute/isa.h"

#include <cpuid.h>

#include "compute/kernels.h"

namespace dspark::compute {
namespace {

// Clang 14's __builtin_cpu_supports doesn't know f16c.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool has_vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }

}  // namespace

const Kernels* kernels(std::string_view isa) {
  if (isa == "auto")
    return has_avx512() ? kernels("avx512") : has_avx2() ? avx2_kernels() : ref_kernels();
  if (isa == "ref") return ref_kernels();
  if (isa == "avx2") return has_avx2() ? avx2_kernels() : nullptr;
  if (isa == "avx512")
    return has_vnni() ? avx512_vnni_kernels() : has_avx512() ? avx512_bw_kernels() : nullptr;
  return nullptr;
}

std::vector<const Kernels*> all_kernels() {
  std::vector<const Kernels*> tables{ref_kernels()};
  if (has_avx2()) tables.push_back(avx2_kernels());
  if (has_avx512()) tables.push_back(avx512_bw_kernels());
  if (has_vnni()) tables.push_back(avx512_vnni_kernels());
  return tables;
}

}  // namespace dspark::compute
