#include "serve/call_reader.h"

#include <algorithm>

namespace dspark::serve {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

// Where the text's first character that is no space is, from `at` on; its size: nowhere.
size_t behind_space(const std::string& text, size_t at, std::string_view space = kSpace) {
  return std::min(text.find_first_not_of(space, at), text.size());
}

// Where the space in front of `end` begins.
size_t before_space(const std::string& text, size_t end) {
  while (end > 0 && kSpace.find(text[end - 1]) != kSpace.npos) --end;
  return end;
}

// The call that the object is, if it is one of these functions.
std::optional<ToolCall> call_of(const std::string& object, const std::vector<std::string>& names) {
  const auto parsed = parse_object(object, "the call");
  const Json* json = std::get_if<Json>(&parsed);
  if (json == nullptr) return {};
  const Json name = json->value("name", Json());
  if (!name.is_string() || std::find(names.begin(), names.end(), name) == names.end()) return {};
  const char* key = json->contains("arguments") ? "arguments" : "parameters";
  const Json arguments = json->value(key, Json::object());
  if (!arguments.is_object()) return {};
  return ToolCall{name.get<std::string>(), dump(arguments)};
}

}  // namespace

CallReader::Piece read_calls(const Tools& tools, const std::string& text) {
  CallReader reader(tools);
  CallReader::Piece all = reader.push(text);
  CallReader::Piece rest = reader.finish();
  all.text += rest.text;
  std::move(rest.calls.begin(), rest.calls.end(), std::back_inserter(all.calls));
  return all;
}

CallReader::Piece CallReader::push(std::string_view text) {
  held_ += text;
  Piece piece;
  while (step(piece)) {
  }
  return piece;
}

CallReader::Piece CallReader::finish() {
  Piece piece;
  if (state_ == State::kClose)
    add_call(piece);  // a call that is whole but for its tag
  else if (!made_ || behind_space(held_, 0) < held_.size())
    piece.text = std::move(held_);
  held_.clear();
  return piece;
}

bool CallReader::step(Piece& piece) {
  const bool tagged = tools_.form == CallForm::kTagged;
  switch (state_) {
    case State::kText:
      return tagged ? look_for_tag(piece) : look_for_object(piece);
    case State::kCall:
      return read_object(piece);
    case State::kClose:
      return read_close(piece);
    case State::kPlain:
      piece.text += held_;
      held_.clear();
      break;
  }
  return false;
}

bool CallReader::look_for_tag(Piece& piece) {
  const size_t tag = held_.find(kCallOpen);
  size_t end = tag;
  if (tag == held_.npos) {  // its beginning may be there
    size_t part = std::min(held_.size(), kCallOpen.size() - 1);
    while (!held_.ends_with(kCallOpen.substr(0, part))) --part;
    end = held_.size() - part;
  }
  end = before_space(held_, end);
  piece.text += held_.substr(0, end);
  held_.erase(0, end);
  if (tag == held_.npos) return false;
  at_ = tag - end + kCallOpen.size();
  state_ = State::kCall;
  depth_ = 0;
  return true;
}

bool CallReader::look_for_object(Piece& piece) {
  const size_t begin = behind_space(held_, 0, made_ ? " \t\r\n;" : kSpace);
  if (begin == held_.size()) return false;
  at_ = begin;
  depth_ = 0;
  state_ = held_[begin] == '{' ? State::kCall : State::kPlain;
  return true;
}

bool CallReader::read_object(Piece& piece) {
  if (depth_ == 0) {
    at_ = begin_ = behind_space(held_, at_);
    if (at_ == held_.size()) return false;
    if (held_[at_] != '{') return no_call(piece);
    in_string_ = escaped_ = false;
  }
  for (; at_ < held_.size(); ++at_) {
    const char c = held_[at_];
    if (in_string_) {
      in_string_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      if (++depth_ > kMostDepth) return no_call(piece);
    } else if ((c == '}' || c == ']') && --depth_ == 0) {
      ++at_;
      auto call = call_of(held_.substr(begin_, at_ - begin_), tools_.names);
      if (!call) return no_call(piece);
      call_ = std::move(*call);
      state_ = State::kClose;
      return true;
    }
  }
  return false;
}

bool CallReader::read_close(Piece& piece) {
  size_t end = at_;
  if (tools_.form == CallForm::kTagged) {
    const size_t tag = behind_space(held_, at_);
    const auto there = std::string_view(held_).substr(tag, kCallClose.size());
    if (!kCallClose.starts_with(there)) return no_call(piece);
    if (there.size() < kCallClose.size()) return false;
    end = tag + kCallClose.size();
  }
  add_call(piece);
  held_.erase(0, end);
  state_ = State::kText;
  return true;
}

// What was looked at is text after all.
bool CallReader::no_call(Piece& piece) {
  piece.text += held_.substr(0, at_);
  held_.erase(0, at_);
  state_ = tools_.form == CallForm::kTagged ? State::kText : State::kPlain;
  return true;
}

void CallReader::add_call(Piece& piece) {
  if (!made_ || tools_.parallel) piece.calls.push_back(std::move(call_));
  made_ = true;
}

}  // namespace dspark::serve
