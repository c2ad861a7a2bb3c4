// Private to the interpreter's two files.
#pragma once

#include "tokenizer/template_interpreter.h"

namespace dspark::tokenizer::jinja {

// Bounds the interpreter's own recursion while it lives.
class Interpreter::Depth {
 public:
  explicit Depth(Interpreter& interpreter) : interpreter_(interpreter) {
    if (++interpreter_.depth_ > interpreter_.budget_.limits().evaluation_depth)
      raise("blocks, expressions and macros are nested too deeply");
  }
  ~Depth() { --interpreter_.depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;

 private:
  Interpreter& interpreter_;
};

}  // namespace dspark::tokenizer::jinja
