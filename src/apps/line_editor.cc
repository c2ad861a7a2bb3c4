#include "apps/line_editor.h"

#include <editline/readline.h>
#include <langinfo.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>

namespace dspark::apps {
namespace {

constexpr int kHistoryLines = 1000;
constexpr int kClearLine = 0x15;  // Ctrl-U
constexpr int kLookAgainMs = 100;

InterruptFlag* interrupt_flag = nullptr;

// Waits for a byte; false when the flag was raised instead. The wait is short, since a signal may
// come just before it or be taken by another thread.
bool byte_ready(int input) {
  for (;;) {
    if (interrupt_flag->raised()) return false;
    pollfd waiting{input, POLLIN, 0};
    if (::poll(&waiting, 1, kLookAgainMs) > 0) return true;
  }
}

// One character, decoded here since libedit takes it whole.
int read_character(FILE* input) {
  std::mbstate_t state{};
  for (;;) {
    if (!byte_ready(fileno(input))) {
      interrupt_flag->clear();
      return kClearLine;
    }
    char byte = 0;
    const ssize_t got = ::read(fileno(input), &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return -1;
    wchar_t character = 0;
    const size_t used = std::mbrtowc(&character, &byte, 1, &state);
    if (used == static_cast<size_t>(-2)) continue;  // the character goes on
    if (used == static_cast<size_t>(-1)) return 0xFFFD;
    return static_cast<int>(character);
  }
}

// The terminal's characters are UTF-8 even where no locale is set.
void use_utf8() {
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
}

}  // namespace

LineEditor::LineEditor(std::filesystem::path history, InterruptFlag& interrupt)
    : history_(std::move(history)) {
  interrupt_flag = &interrupt;
  use_utf8();
  rl_readline_name = "dspark";
  rl_instream = stdin;
  rl_outstream = stderr;
  rl_catch_signals = 0;
  rl_getc_function = read_character;
  rl_inhibit_completion = 1;
  rl_initialize();
  rl_bind_key('\t', rl_insert);
  using_history();
  stifle_history(kHistoryLines);
  if (!history_.empty()) read_history(history_.c_str());
}

LineEditor::~LineEditor() { interrupt_flag = nullptr; }

std::optional<std::string> LineEditor::read(const std::string& prompt) {
  char* typed = readline(prompt.c_str());
  if (typed == nullptr) return std::nullopt;
  std::string line = typed;
  std::free(typed);
  if (line.find_first_not_of(" \t") != std::string::npos) {
    add_history(line.c_str());
    save();
  }
  return line;
}

// What can't be saved is lost quietly: a chat works without a history.
void LineEditor::save() const {
  if (history_.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(history_.parent_path(), error);
  if (!error && write_history(history_.c_str()) == 0)
    std::filesystem::permissions(
        history_, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, error);
}

}  // namespace dspark::apps
