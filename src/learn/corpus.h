// A corpus read for training, row by row.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/base.h"
#include "learn/chat_mask.h"
#include "learn/corpus_row.h"
#include "learn/faults.h"
#include "tokenizer/tokenizer.h"

namespace dspark::learn {

struct Example {
  std::string id;
  std::vector<int32_t> ids;
  std::vector<uint8_t> loss_mask;  // [ids]: 1 where the token is trained on
  float temperature = -1;          // of the answer; -1: not known
};

struct ReadOptions {
  size_t max_length = 4096;  // tokens of a row; what follows is cut off
  int min_loss_tokens = 14;  // rows with fewer are left out
  int32_t vocab = 0;         // ids must be below; 0: not checked
  bool strict = false;       // a bad row is an error instead of a fault
};

struct ReadCounts {
  int64_t rows = 0;        // given out
  int64_t short_rows = 0;  // left out for too few loss tokens
  int64_t cut_rows = 0;    // longer than max_length
  Faults faults;
};

class CorpusReader {
 public:
  // tokenizer: of the target, for rows without ids; it outlives the reader. Null, or one without a
  // chat template of a known style: such rows are bad.
  static Result<CorpusReader> open(const std::filesystem::path& file, ReadOptions options,
                                   const tokenizer::Tokenizer* tokenizer);
  CorpusReader(CorpusReader&&) noexcept;
  ~CorpusReader();

  // The next row that can be used; false at the end.
  Result<bool> next(Example& example);
  // The row as it stands in the file, of the example that next() gave.
  const CorpusRow& row() const;
  const ReadCounts& counts() const;

 private:
  struct Impl;
  explicit CorpusReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dspark::learn
