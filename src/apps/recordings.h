// The work file of a calibration: what every prompt's answer gave, a line each, so that a run that
// was killed goes on where it was.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <vector>

#include "apps/json_lines.h"
#include "verify/verify.h"

namespace dspark::apps {

// Of the cycles of an answer that drafted something, in order.
struct PromptRecord {
  struct Cycle {
    int drafted, considered, accepted;
  };
  int64_t tokens = 0;  // of the answer
  std::vector<Cycle> cycles = {};
  std::vector<float> logits = {};       // raw, `drafted` of each cycle in turn
  std::vector<float> certainties = {};  // as many
};

class Recordings {
 public:
  // Begins the file, or goes on with it: an end that was torn off is dropped, a damaged line is
  // passed over with a warning. An error when it was begun with other settings, when another
  // process has it, or when it holds something else.
  static Result<std::unique_ptr<Recordings>> open(const std::filesystem::path& path,
                                                  const Json& settings, size_t prompts, int slots);
  ~Recordings();
  Recordings(const Recordings&) = delete;
  Recordings& operator=(const Recordings&) = delete;

  const std::map<size_t, PromptRecord>& records() const { return records_; }  // by prompt
  bool has(size_t prompt) const { return records_.contains(prompt); }
  bool complete() const { return records_.size() == prompts_; }
  // On disk when it returns.
  Status append(size_t prompt, PromptRecord record);
  Status remove();  // the file

 private:
  Recordings(int fd, std::filesystem::path path, size_t prompts, int slots)
      : fd_(fd), path_(std::move(path)), prompts_(prompts), slots_(slots) {}
  Status load(const Json& settings);
  Status check_settings(const Json& found, const Json& settings) const;
  Status take(const Json& record, const std::string& place);
  Status write(const Json& record);

  int fd_;
  std::filesystem::path path_;
  size_t prompts_;
  int slots_;
  std::map<size_t, PromptRecord> records_;
};

}  // namespace dspark::apps
