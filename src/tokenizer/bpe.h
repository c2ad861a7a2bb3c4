// Byte-level BPE (SmolLM, Qwen2/3, Llama 3) and Gemma's BPE with byte fall-back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "formats/formats.h"

namespace dspark::tokenizer {

class Tokenizer {
 public:
  // model: a GGUF file or a Hugging Face directory.
  static Result<Tokenizer> open(const std::filesystem::path& model);
  static Result<Tokenizer> from_gguf(const formats::GgufFile& file);
  // tokenizer.json, with tokenizer_config.json, generation_config.json and chat_template.jinja
  // beside it when present. A checkpoint without tokenizer.json gives an empty vocabulary: its
  // prompts are ids.
  static Result<Tokenizer> from_directory(const std::filesystem::path& directory);
  // tokenizer.json's text alone; for tests and fuzzing.
  static Result<Tokenizer> from_json(std::string_view text, const std::string& name);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  enum class Specials { kAsText, kParse };  // whether a control token's exact text becomes its id
  // Nothing is added before or after (see bos_id and add_bos). Any bytes are accepted: invalid
  // UTF-8 becomes byte tokens, or is dropped where the vocabulary has none. Thread-safe.
  std::vector<int32_t> encode(std::string_view text, Specials specials) const;

  // The bytes a token stands for; empty for control tokens unless show_specials.
  std::string_view token_bytes(int32_t id, bool show_specials = false) const;
  std::string decode(std::span<const int32_t> ids, bool show_specials = false) const;

  int32_t vocab_size() const;
  std::string_view token_text(int32_t id) const;  // as the vocabulary spells it
  bool is_special(int32_t id) const;              // control token
  std::optional<int32_t> find(std::string_view token_text) const;
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  bool add_bos() const;
  // Sorted ids that end a generation: what the model's files name as eos or end of turn, and
  // control tokens that bear a name usual for them (SmolLM2: <|endoftext|> and <|im_end|>).
  const std::vector<int32_t>& stop_ids() const;
  const std::string& chat_template() const;  // Jinja text; empty when the model has none
  const std::string& description() const;    // "byte-level BPE, pre-tokenizer smollm, 49152 tokens"
  // XXH3 (16 hex digits) of ids, texts, which tokens are added ones, and merges in order: the same
  // from GGUF and from tokenizer.json, padding or not. Empty without a vocabulary.
  std::string fingerprint() const;

  struct Impl;  // bpe_impl.h; the loaders fill it

 private:
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Turns a stream of ids into text without ever splitting a UTF-8 character: bytes of an unfinished
// character wait for the next token, bytes that can no longer become one give U+FFFD. flush() gives
// what is left (an unfinished character as U+FFFD).
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  std::string push(int32_t id);
  std::string flush();

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;
};

}  // namespace dspark::tokenizer
