// eval's data files: which rows, and their ids.
#include <array>
#include <bit>
#include <numeric>

#include "apps/eval.h"
#include "apps/prompt_file.h"

namespace dspark::apps {
namespace {

// CPython's random.Random(seed) for whole numbers: MT19937 seeded by the number's 32-bit words.
class PythonRandom {
 public:
  explicit PythonRandom(uint64_t seed) {
    std::vector<uint32_t> key{static_cast<uint32_t>(seed)};
    if (seed >> 32 != 0) key.push_back(static_cast<uint32_t>(seed >> 32));
    state_[0] = 19650218;
    for (uint32_t i = 1; i < kWords; ++i)
      state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
    uint32_t i = 1, j = 0;
    const auto next = [&] {
      if (++i < kWords) return;
      state_[0] = state_[kWords - 1];
      i = 1;
    };
    const auto mixed = [&] { return state_[i - 1] ^ (state_[i - 1] >> 30); };
    for (uint32_t k = 0; k < kWords; ++k) {
      state_[i] = (state_[i] ^ (mixed() * 1664525u)) + key[j] + j;
      next();
      j = (j + 1) % static_cast<uint32_t>(key.size());
    }
    for (uint32_t k = 1; k < kWords; ++k) {
      state_[i] = (state_[i] ^ (mixed() * 1566083941u)) - i;
      next();
    }
    state_[0] = 0x80000000u;
  }

  // In [0, n), as random's _randbelow draws it; n >= 1.
  uint32_t below(uint32_t n) {
    const int bits = std::bit_width(n);
    for (;;)
      if (const uint32_t drawn = next_word() >> (32 - bits); drawn < n) return drawn;
  }

 private:
  static constexpr uint32_t kWords = 624, kShift = 397;

  void refill() {
    for (uint32_t i = 0; i < kWords; ++i) {
      const uint32_t y = (state_[i] & 0x80000000u) | (state_[(i + 1) % kWords] & 0x7fffffffu);
      state_[i] =
          state_[(i + kShift) % kWords] ^ (y >> 1) ^ ((y & 1) != 0 ? 0x9908b0dfu : uint32_t{0});
    }
    at_ = 0;
  }
  uint32_t next_word() {
    if (at_ == kWords) refill();
    uint32_t y = state_[at_++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
  }

  std::array<uint32_t, kWords> state_;
  uint32_t at_ = kWords;
};

Result<std::vector<int32_t>> encode(const PromptRow& row, const tokenizer::PromptEncoder& encoder) {
  if (row.turns.empty()) return row.ids;
  return encoder.encode_chat(Json::array({tokenizer::message("user", row.turns.front())}));
}

}  // namespace

std::vector<size_t> python_shuffle(size_t count, uint64_t seed) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  PythonRandom random(seed);
  for (size_t i = count; i-- > 1;)
    std::swap(order[i], order[random.below(static_cast<uint32_t>(i + 1))]);
  return order;
}

Result<std::vector<EvalSuite>> read_suites(std::span<const std::string> files, int most,
                                           uint64_t seed, const tokenizer::PromptEncoder& encoder,
                                           int64_t context) {
  std::vector<EvalSuite> suites;
  for (const std::string& file : files) {
    DSPARK_TRY(const auto rows, read_prompt_file(file));
    EvalSuite suite{.name = std::filesystem::path(file).stem().string(),
                    .file = file,
                    .rows = static_cast<int64_t>(rows.size())};
    std::vector<size_t> order(rows.size());
    std::iota(order.begin(), order.end(), size_t{0});
    const auto limit = static_cast<size_t>(most);
    if (limit > 0 && rows.size() > limit) {
      order = python_shuffle(rows.size(), seed);
      order.resize(limit);
    }
    for (const size_t row : order) {
      const auto id = to_line(rows[row].id);
      auto ids = encode(rows[row], encoder);
      if (!ids) return fail("{}: {}: {}", file, id, ids.message());
      if (static_cast<int64_t>(ids->size()) >= context)
        log_warning("{}: {}: left out, its {} tokens fill the context of {}", file, id, ids->size(),
                    context);
      else
        suite.prompts.push_back(ids.take());
    }
    if (suite.prompts.empty()) return fail("{}: no prompt fits the context of {}", file, context);
    suites.push_back(std::move(suite));
  }
  for (EvalSuite& suite : suites)
    for (EvalSuite& other : suites)
      if (&suite != &other && suite.name == other.name)
        suite.name = suite.file, other.name = other.file;
  return suites;
}

}  // namespace dspark::apps
