// The train.* parts of a folder run in a program of their own, which has libtorch.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "parity/runner.h"

namespace dspark::parity {
namespace {

namespace fs = std::filesystem;

// A shell word.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

bool check_train(const fs::path& folder, Report& report) {
  if (!fs::exists(folder / "train.json") && !fs::exists(folder / "lr_schedule.json")) return true;
  const fs::path program = fs::read_symlink("/proc/self/exe").parent_path() / "train_parity";
  if (!fs::exists(program)) return false;
  const std::string command = fmt::format("OMP_WAIT_POLICY=PASSIVE {} {}", quoted(program.string()),
                                          quoted(folder.string()));
  FILE* pipe = ::popen(command.c_str(), "r");
  CHECK(pipe != nullptr, "cannot run {}", command);
  char word[16] = "";
  int count = 0;
  const bool read = std::fscanf(pipe, "%15s %d", word, &count) == 2;
  const bool passed = ::pclose(pipe) == 0 && read && std::strcmp(word, "pass") == 0 && count > 0;
  report.add(count - 1);
  report.check(passed, "train_parity: see above");
  return true;
}

}  // namespace dspark::parity
