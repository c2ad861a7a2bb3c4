#include "train/corpus.h"

namespace dspark::train {

constexpr uint64_t kSplitSeed = 0x68656c64;  // which are held back does not change with the recipe

Result<Corpus> read_corpus(const Recipe& recipe, const tokenizer::Tokenizer& tokenizer,
                           int32_t vocab) {
  Corpus corpus;
  learn::Digest digest;
  const learn::ReadOptions options{static_cast<size_t>(recipe.max_length),
                                   static_cast<int>(recipe.min_loss_tokens), vocab, recipe.strict};
  const auto enough = [&] {
    return recipe.rows > 0 && static_cast<int64_t>(corpus.examples.size()) >= recipe.rows;
  };
  for (const std::string& file : recipe.corpus) {
    DSPARK_TRY(auto reader, learn::CorpusReader::open(file, options, &tokenizer));
    for (learn::Example example; !enough();) {
      DSPARK_TRY(const bool more, reader.next(example));
      if (!more) break;
      const auto bytes = [](const auto& list) {
        return std::string_view(reinterpret_cast<const char*>(list.data()),
                                list.size() * sizeof(list[0]));
      };
      digest.add(bytes(example.ids)), digest.add(bytes(example.loss_mask));
      const double share =
          static_cast<double>(learn::row_hash(kSplitSeed, example.id) >> 11) * 0x1p-53;
      (share < recipe.held_back ? corpus.held_back : corpus.trained)
          .push_back(static_cast<int64_t>(corpus.examples.size()));
      corpus.examples.push_back(std::move(example));
    }
    const learn::ReadCounts& counts = reader.counts();
    corpus.counts.rows += counts.rows, corpus.counts.short_rows += counts.short_rows;
    corpus.counts.cut_rows += counts.cut_rows;
    for (const std::string& fault : counts.faults.first) corpus.counts.faults.add(fault);
  }
  if (corpus.trained.empty()) return fail("{}: no conversation to train on", recipe.corpus.front());
  corpus.digest = digest.text();
  return corpus;
}

}  // namespace dspark::train
