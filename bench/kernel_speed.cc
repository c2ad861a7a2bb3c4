// Speed of the matrix products, from the same case table that the correctness tests run
// (tests/kernels/cases.h).
//   kernel_speed [ISA] [TYPE]
#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "kernels/cases.h"

int main(int argc, char** argv) {
  using namespace dspark;
  using namespace dspark::compute;
  const std::string isa = argc > 1 ? argv[1] : "";
  const std::string type = argc > 2 ? argv[2] : "";
  const std::vector<int> widths{1, 2, 4, 8, 16};
  fmt::print("{:10} {:6} {:>5} {:>10} {:>8} {:>8}\n", "isa", "type", "rows", "us", "GB/s", "GOP/s");
  for (const Kernels* kernels : all_kernels())
    for (const auto& c : testing::speed_cases(widths)) {
      if (std::string_view(kernels->name) == "ref") continue;
      if ((!isa.empty() && isa != kernels->name) ||
          (!type.empty() && type != dtype_info(c.type).name))
        continue;
      AlignedBuffer storage;
      const PackedMatrix matrix = packed(c, stored_rows(c, testing::Fill::kRandom, 1), storage);
      Activations x(c.rows, c.inputs);
      prepare(*kernels, c, inputs(c, testing::Fill::kRandom, 2), x);
      const int64_t stride = matrix.tiles() * kTileRows;
      std::vector<float> out(static_cast<size_t>(c.rows * stride));
      double best_us = 1e30;
      for (int repeat = 0; repeat < 12; ++repeat) {
        const auto start = std::chrono::steady_clock::now();
        kernels->matmul(matrix, x.view(), 0, matrix.tiles(), out.data(), stride);
        const std::chrono::duration<double, std::micro> took =
            std::chrono::steady_clock::now() - start;
        best_us = std::min(best_us, took.count());
      }
      fmt::print("{:10} {:6} {:5} {:10.1f} {:8.1f} {:8.1f}\n", kernels->name,
                 dtype_info(c.type).name, c.rows, best_us,
                 static_cast<double>(matrix.bytes()) / best_us * 1e-3,
                 2.0 * static_cast<double>(c.outputs * c.inputs * c.rows) / best_us * 1e-3);
    }
}
