// Processor time of token masks: where nothing is known of a grammar, and of places known before.
//   mask_speed MODEL FILE...    a GGUF file or directory, then JSON schemas and GBNF files (*.gbnf)
#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <random>

#include "grammar/grammar.h"

namespace {

using namespace dspark;

// Of this thread, so that a busy machine changes less.
double cpu_microseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) * 1e-3;
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

// Walks of random allowed tokens: each place's mask where nothing is known of the grammar yet, and
// where it was asked for before.
void measure(const std::shared_ptr<const grammar::Grammar>& made,
             const std::shared_ptr<const grammar::TokenTrie>& trie) {
  const grammar::Masks masks(made, trie);
  Times cold, known;
  const auto time = [](sample::Constraint& constraint, Times& times) {
    const double start = cpu_microseconds();
    const auto words = constraint.allowed();
    if (words.ok()) times.microseconds.push_back(cpu_microseconds() - start);
    return words;
  };
  for (unsigned seed = 0; seed < 10; ++seed) {
    std::mt19937 random(seed);
    const auto constraint = masks.start();
    std::vector<int32_t> walk;
    for (int n = 0; n < 40; ++n) {
      const auto words = constraint->allowed();
      if (!words.ok()) break;
      if (!time(*constraint, known).ok()) break;
      const auto first = grammar::Masks(made, trie).start();
      for (const int32_t id : walk) first->push(id);
      if (!time(*first, cold).ok()) break;
      std::vector<int32_t> ids;
      for (size_t id = 0; id < words.value().size() * 64; ++id)
        if (words.value()[id / 64] >> (id % 64) & 1) ids.push_back(static_cast<int32_t>(id));
      walk.push_back(ids[random() % ids.size()]);
      constraint->push(walk.back());
    }
  }
  cold.print("nothing known");
  known.print("known");
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
  double start = cpu_microseconds();
  const auto trie = grammar::make_token_trie(tokenizer.value(), tokenizer.value().vocab_size());
  fmt::print("trie of {} tokens: {:.1f} ms\n", tokenizer.value().vocab_size(),
             (cpu_microseconds() - start) / 1e3);
  for (int i = 2; i < argc; ++i) {
    start = cpu_microseconds();
    auto made = read_grammar(argv[i]);
    if (!made.ok()) {
      fmt::print(stderr, "{}\n", made.message());
      return 1;
    }
    fmt::print("{}: compiled in {:.2f} ms\n", argv[i], (cpu_microseconds() - start) / 1e3);
    measure(made.value(), trie);
  }
}
