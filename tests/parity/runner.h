// A model with its cache, run directly: for comparing inner tensors with a reference.
#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/model.h"

namespace dspark::parity {

// Counts checks of a fixture folder and keeps what failed.
class Report {
 public:
  void check(bool ok, const std::string& what) {
    ++count_;
    if (!ok && failures_.size() < 20) failures_.push_back(what);
    failed_ |= !ok;
  }
  void add(int passed) { count_ += std::max(passed, 0); }  // checks made elsewhere
  int count() const { return count_; }
  bool failed() const { return failed_; }
  const std::vector<std::string>& failures() const { return failures_; }

 private:
  int count_ = 0;
  bool failed_ = false;
  std::vector<std::string> failures_;
};

class Runner {
 public:
  static Result<std::unique_ptr<Runner>> open(const std::filesystem::path& model,
                                              const std::string& isa,
                                              std::optional<DType> quantise);

  struct Output {
    std::vector<float> logits;  // [rows, vocab]
    std::vector<float> taps;    // [rows, taps, hidden]
  };
  // All rows of ids from an empty cache, `chunk` rows at a time. all_logits: of every row, else of
  // the last.
  Output run(const std::vector<int32_t>& ids, const std::vector<int>& tap_layers, bool all_logits,
             int chunk = 64);
  std::vector<int32_t> greedy(const std::vector<int32_t>& prompt, int tokens,
                              std::optional<int32_t> stop);

  const model::Model& model() const { return *model_; }
  const compute::Kernels& kernels() const { return *kernels_; }

 private:
  Runner(std::unique_ptr<model::Model> model, const compute::Kernels* kernels);
  static constexpr int kThreads = 2;
  ThreadPool pool_{kThreads};
  std::unique_ptr<model::Model> model_;
  const compute::Kernels* kernels_;
  std::unique_ptr<kv::PagePool> pages_;
  std::unique_ptr<model::Forward> forward_;
};

int32_t index_of_largest(const float* values, int64_t n);

// By kind of folder.
void check_smollm2(const std::filesystem::path& folder, const std::filesystem::path& model,
                   Report& report);
void check_target(const std::filesystem::path& folder, Report& report);
void check_drafter(const std::filesystem::path& folder, Report& report);
void check_metrics(const std::filesystem::path& file, Report& report);     // metrics.json
void check_acceptance(const std::filesystem::path& file, Report& report);  // verify.json
void check_scheduler(const std::filesystem::path& folder, Report& report);
void check_target_cache(const std::filesystem::path& folder, Report& report);
void check_sts(const std::filesystem::path& folder, Report& report);
// Losses, gradients and steps, where the folder has them; false: their program is not built.
bool check_train(const std::filesystem::path& folder, Report& report);

}  // namespace dspark::parity
