// Time of token masks: of places that are new, and of those that were there before.
//   mask_speed MODEL FILE...    a GGUF file or directory, then JSON schemas and GBNF files (*.gbnf)
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "grammar/grammar.h"

namespace {

using namespace dspark;
using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

Result<std::shared_ptr<const grammar::Grammar>> read_grammar(const std::string& file) {
  DSPARK_TRY(const std::string text, read_file(file, size_t{1} << 20));
  if (file.ends_with(".gbnf")) return grammar::Grammar::from_gbnf(text, file);
  const auto schema = nlohmann::ordered_json::parse(text, nullptr, false);
  if (schema.is_discarded()) return fail("{}: not valid JSON", file);
  return grammar::Grammar::from_json_schema(schema);
}

struct Times {
  std::vector<double> microseconds;
  void print(const char* what) {
    std::sort(microseconds.begin(), microseconds.end());
    const size_t n = microseconds.size();
    fmt::print("  {:16} {:6} masks, median {:8.1f} us, 99 % {:8.1f} us\n", what, n,
               n ? microseconds[n / 2] : 0, n ? microseconds[n * 99 / 100] : 0);
  }
};

// Walks of random allowed tokens, twice the same.
void measure(const grammar::Masks& masks) {
  Times first, again;
  for (unsigned seed = 0; seed < 20; ++seed)
    for (Times* times : {&first, &again}) {
      std::mt19937 random(seed);
      const auto constraint = masks.start();
      for (int n = 0; n < 60; ++n) {
        const auto start = Clock::now();
        const auto words = constraint->allowed();
        if (!words.ok()) break;
        times->microseconds.push_back(microseconds_since(start));
        std::vector<int32_t> ids;
        for (size_t id = 0; id < words.value().size() * 64; ++id)
          if (words.value()[id / 64] >> (id % 64) & 1) ids.push_back(static_cast<int32_t>(id));
        constraint->push(ids[random() % ids.size()]);
      }
    }
  first.print("new or known");
  again.print("known");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "usage: mask_speed MODEL FILE...\n");
    return 2;
  }
  const auto tokenizer = tokenizer::load_tokenizer(argv[1]);
  if (!tokenizer.ok()) {
    fmt::print(stderr, "{}\n", tokenizer.message());
    return 1;
  }
  auto start = Clock::now();
  const auto trie = grammar::make_token_trie(tokenizer.value(), tokenizer.value().vocab_size());
  fmt::print("trie of {} tokens: {:.1f} ms\n", tokenizer.value().vocab_size(),
             microseconds_since(start) / 1e3);
  for (int i = 2; i < argc; ++i) {
    start = Clock::now();
    auto made = read_grammar(argv[i]);
    if (!made.ok()) {
      fmt::print(stderr, "{}\n", made.message());
      return 1;
    }
    fmt::print("{}: compiled in {:.2f} ms\n", argv[i], microseconds_since(start) / 1e3);
    measure(grammar::Masks(made.take(), trie));
  }
}
