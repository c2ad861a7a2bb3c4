// dspark train: runs dspark-learn, the program that has libtorch, in this one's place.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "apps/command.h"

namespace dspark::apps {
namespace {

// Beside this program, else wherever PATH has it.
std::string learn_program() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto beside = self.parent_path() / "dspark-learn";
  return !error && std::filesystem::exists(beside) ? beside.string() : "dspark-learn";
}

}  // namespace

int run_train(char** arguments) {
  std::string program = learn_program();
  std::vector<char*> argv = {program.data()};
  for (; *arguments != nullptr; ++arguments) argv.push_back(*arguments);
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  return report(kFailure, fmt::format("train: cannot run dspark-learn: {}. It is built where "
                                      "libtorch is: install libtorch-dev and libopenblas0-pthread, "
                                      "and build again",
                                      std::strerror(errno)));
}
}  // namespace dspark::apps
