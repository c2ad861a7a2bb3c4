// Finds a model's calls of functions in the text of its answer, as the text comes.
#pragma once

#include "serve/tools.h"

namespace dspark::serve {

struct ToolCall {
  std::string name, arguments;  // arguments: the text of a JSON object
};

// What begins like a call is held back until it is one, or is not: a call names one of the tools
// and its arguments are a JSON object; everything else is text. Space around calls belongs to
// neither. The work grows with the text's length alone.
class CallReader {
 public:
  // The tools outlive it. Without any all is text.
  explicit CallReader(const Tools& tools)
      : tools_(tools), state_(tools.form == CallForm::kNone ? State::kPlain : State::kText) {}

  struct Piece {
    std::string text;
    std::vector<ToolCall> calls;  // behind the text
  };
  Piece push(std::string_view text);
  Piece finish();  // the answer has ended: what was held back

 private:
  enum class State {
    kText,   // no call has begun
    kCall,   // a call's object is being read
    kClose,  // the object is whole; the tag behind it is to come
    kPlain,  // nothing more can be a call
  };
  // Whether there may be more to do with what is held.
  bool step(Piece& piece);
  bool look_for_tag(Piece& piece);
  bool look_for_object(Piece& piece);
  bool read_object(Piece& piece);
  bool read_close(Piece& piece);
  bool no_call(Piece& piece);
  void add_call(Piece& piece);

  const Tools& tools_;
  State state_;
  std::string held_;  // not given out yet
  size_t at_ = 0;     // of held_: looked at so far
  // In an object:
  size_t begin_ = 0;
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false;
  ToolCall call_;
  bool made_ = false;  // a call was given out
};

// A whole answer's.
CallReader::Piece read_calls(const Tools& tools, const std::string& text);

}  // namespace dspark::serve
