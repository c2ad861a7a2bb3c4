#include "learn/epoch_order.h"

#include <numeric>
#include <random>

namespace dspark::learn {

std::vector<int64_t> epoch_order(int64_t n, int64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937 random(static_cast<uint32_t>(42 + epoch));
  for (int64_t i = 0; i + 1 < n; ++i)
    std::swap(order[static_cast<size_t>(i)],
              order[static_cast<size_t>(i + static_cast<int64_t>(random()) % (n - i))]);
  return order;
}

}  // namespace dspark::learn
