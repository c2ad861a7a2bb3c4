// A corpus being regenerated, whoever answers: which rows are left, what they are answered with,
// where they go.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "apps/data.h"
#include "apps/interrupt.h"
#include "apps/json_lines.h"
#include "apps/progress.h"
#include "learn/learn.h"
#include "sample/sample.h"

namespace dspark::apps {

// A conversation so far as chat templates and servers take it.
Json messages_of(const std::vector<learn::Message>& conversation);

class RegenerateJob {
 public:
  // answerer: what gives the answers, as stored beside the corpus.
  static Result<std::unique_ptr<RegenerateJob>> open(const RegenerateArguments& arguments,
                                                     Json answerer);

  const learn::PromptSet& prompts() const { return prompts_; }
  bool nothing_left() const { return file_.rows_done() == prompts_.rows.size(); }
  // The next row to answer; null when all others are done or under way.
  const learn::Prompt* next();
  // A row before its first turn; its temperature and seed are functions of id and options alone.
  learn::CorpusRow start(const learn::Prompt& prompt) const;
  sample::Params sampling(const learn::CorpusRow& row) const;

  // prompt: as next() gave it.
  Status finished(const learn::Prompt& prompt, const learn::CorpusRow& row);
  // Of a row that can't be answered: an error with --strict, else it is left out.
  Status failed(const learn::Prompt& prompt, const std::string& message);
  void add_tokens(int64_t tokens) { tokens_ += tokens; }

  void start_clock() { start_ = Clock::now(); }  // all is loaded
  bool interrupted() const { return interrupt_.raised(); }
  Status tick();  // call often: progress, and what was appended to the disk every few seconds
  // Sorts what is complete and says what came of it; false after an interruption.
  Result<bool> finish();

 private:
  RegenerateJob(const RegenerateArguments& arguments, learn::PromptSet prompts,
                learn::CorpusFile file);
  Status check_disk() const;
  std::string summary() const;

  using Clock = std::chrono::steady_clock;
  const RegenerateArguments& arguments_;
  learn::PromptSet prompts_;
  learn::CorpusFile file_;
  learn::Faults failures_;
  size_t next_row_ = 0, before_ = 0;  // before_: rows that earlier runs did
  int64_t tokens_ = 0;
  Clock::time_point start_ = Clock::now(), next_sync_ = start_;
  InterruptFlag interrupt_{SecondSignal::kEndsProgram};
  Progress progress_{"answering", "rows"};
};

}  // namespace dspark::apps
