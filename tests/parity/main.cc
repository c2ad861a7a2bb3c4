// Runs every fixture folder by its kind; one line a folder on stdout: NAME pass|fail|skip COUNT.
// Folders are those of tests/fixtures, or of the folder that DSPARK_FIXTURES names.
#include <cstdlib>
#include <set>

#include "installed_model.h"
#include "parity/runner.h"

namespace dspark::parity {
namespace {

namespace fs = std::filesystem;

enum class Outcome { kRun, kSkip, kUnknown };

Outcome run_folder(const fs::path& folder, Report& report) {
  if (fs::exists(folder / "draft/config.json")) {
    check_target(folder, report);
    check_drafter(folder, report);
    return Outcome::kRun;
  }
  if (fs::exists(folder / "tokenizer.jsonl")) {
    const fs::path model = testing::installed_model();
    if (model.empty()) return Outcome::kSkip;
    check_smollm2(folder, model, report);
    return Outcome::kRun;
  }
  bool known = false;
  const auto run = [&](const char* file, void (*check)(const fs::path&, Report&), bool whole) {
    if (!fs::exists(folder / file)) return;
    check(whole ? folder : folder / file, report);
    known = true;
  };
  run("metrics.json", check_metrics, false);
  run("verify.json", check_acceptance, false);
  run("cases.json", check_scheduler, true);
  run("sts_cases.json", check_sts, true);
  run("cache/manifest.json", check_target_cache, true);
  return known ? Outcome::kRun : Outcome::kUnknown;
}

int run_all() {
  const char* named = std::getenv("DSPARK_FIXTURES");
  const fs::path root =
      named != nullptr && *named ? fs::path(named) : fs::path(DSPARK_SOURCE_DIR) / "tests/fixtures";
  std::set<fs::path> folders;
  if (fs::is_directory(root))
    for (const auto& entry : fs::directory_iterator(root))
      if (entry.is_directory()) folders.insert(entry.path());
  bool failed = folders.empty();
  if (failed) fmt::print(stderr, "{}: no fixture folders\n", root.string());
  for (const fs::path& folder : folders) {
    Report report;
    const Outcome outcome = run_folder(folder, report);
    if (outcome == Outcome::kRun && !check_train(folder, report))
      fmt::print(stderr, "  {}: train parts skipped, train_parity is not built\n",
                 folder.filename().string());
    const bool bad = outcome == Outcome::kUnknown || report.failed() ||
                     (outcome == Outcome::kRun && report.count() == 0);
    failed |= bad;
    fmt::print("{} {} {}\n", folder.filename().string(),
               bad                         ? "fail"
               : outcome == Outcome::kSkip ? "skip"
                                           : "pass",
               report.count());
    std::fflush(stdout);
    if (outcome == Outcome::kUnknown)
      fmt::print(stderr, "  {}: an unknown or empty folder\n", folder.string());
    for (const std::string& failure : report.failures()) fmt::print(stderr, "  {}\n", failure);
  }
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace dspark::parity

int main() { return dspark::parity::run_all(); }
