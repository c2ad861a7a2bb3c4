#include "tokenizer/bpe.h"

#include <algorithm>

#include "tokenizer/bpe_impl.h"

namespace dspark::tokenizer {
namespace {

// Control tokens by which public models end a turn or a text, whatever else the file names: the ids
// that users of GGUF files expect to end a generation.
constexpr const char* kEnds[] = {
    "<|im_end|>",    "<|eot_id|>",      "<|eom_id|>", "<|endoftext|>", "<|end_of_text|>", "<|end|>",
    "<end_of_turn>", "<|end_of_turn|>", "<turn|>",    "<|return|>",    "<|eot|>",
};

}  // namespace

void Tokenizer::Impl::finish() {
  added.finish();
  added_normalised.finish();
  if (eos_id < 0 && !stop_ids.empty()) eos_id = stop_ids.front();
  if (eos_id >= 0) stop_ids.push_back(eos_id);
  for (const char* text : kEnds)
    if (const int32_t id = vocabulary.find(text);
        id >= 0 && vocabulary.kind(id) == TokenKind::kControl)
      stop_ids.push_back(id);
  std::sort(stop_ids.begin(), stop_ids.end());
  stop_ids.erase(std::unique(stop_ids.begin(), stop_ids.end()), stop_ids.end());
  description = fmt::format("{} BPE, pre-tokenizer {}, {} tokens",
                            vocabulary.spelling() == Spelling::kByteLevel ? "byte-level" : "plain",
                            pre_tokenizer_name, vocabulary.size());
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::open(const std::filesystem::path& model) {
  std::error_code error;  // what can't be looked at is an error of the one that opens it
  if (std::filesystem::is_directory(model, error)) return from_directory(model);
  DSPARK_TRY(const auto file, formats::GgufFile::open(model));
  return from_gguf(file);
}

std::string_view Tokenizer::token_bytes(int32_t id, bool show_specials) const {
  if (!impl_->vocabulary.contains(id)) return {};
  if (!show_specials && is_special(id)) return {};
  return impl_->vocabulary.bytes(id);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool show_specials) const {
  std::string text;
  for (int32_t id : ids) text += token_bytes(id, show_specials);
  return text;
}

int32_t Tokenizer::vocab_size() const { return impl_->vocabulary.size(); }
std::string_view Tokenizer::token_text(int32_t id) const {
  return impl_->vocabulary.contains(id) ? impl_->vocabulary.text(id) : std::string_view();
}
bool Tokenizer::is_special(int32_t id) const {
  return impl_->vocabulary.contains(id) && impl_->vocabulary.kind(id) == TokenKind::kControl;
}
std::optional<int32_t> Tokenizer::find(std::string_view text) const {
  const int32_t id = impl_->vocabulary.find(text);
  return id < 0 ? std::nullopt : std::optional(id);
}
std::optional<int32_t> Tokenizer::bos_id() const {
  return impl_->bos_id < 0 ? std::nullopt : std::optional(impl_->bos_id);
}
std::optional<int32_t> Tokenizer::eos_id() const {
  return impl_->eos_id < 0 ? std::nullopt : std::optional(impl_->eos_id);
}
bool Tokenizer::add_bos() const { return impl_->add_bos; }
const std::vector<int32_t>& Tokenizer::stop_ids() const { return impl_->stop_ids; }
const std::string& Tokenizer::chat_template() const { return impl_->chat_template; }
const std::string& Tokenizer::description() const { return impl_->description; }
std::string Tokenizer::fingerprint() const {
  return vocab_size() == 0 ? std::string()
                           : fmt::format("{:016x}", impl_->vocabulary.fingerprint());
}

}  // namespace dspark::tokenizer
