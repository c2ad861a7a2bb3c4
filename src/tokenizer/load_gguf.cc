// A tokenizer from GGUF metadata (tokenizer.ggml.*).
#include "tokenizer/bpe_impl.h"

namespace dspark::tokenizer {
namespace {

Result<int32_t> token_id(const formats::GgufFile& file, const char* key, int32_t vocab) {
  DSPARK_TRY(const int64_t id, file.integer(key, -1));
  if (id < -1 || id >= vocab) return fail("{}: key {}: {} is not in the vocabulary of {}", file.name(), key, id, vocab);
  return static_cast<int32_t>(id);
}

TokenKind kind_of(int64_t type) {
  switch (type) {
    case 3: return TokenKind::kControl;
    case 4: return TokenKind::kUserDefined;
    case 5: return TokenKind::kUnused;
    case 6: return TokenKind::kByte;
    default: return TokenKind::kNormal;
  }
}

Result<std::vector<std::pair<std::string, std::string>>> read_merges(const formats::GgufFile& file) {
  std::vector<std::pair<std::string, std::string>> merges;
  DSPARK_TRY(const auto* lines, file.strings("tokenizer.ggml.merges"));
  merges.reserve(lines->size());
  for (size_t i = 0; i < lines->size(); ++i) {
    const std::string& line = (*lines)[i];
    const size_t space = line.find(' ', 1);
    if (space == std::string::npos || space + 1 == line.size())
      return fail("{}: key tokenizer.ggml.merges: item {}: \"{}\" is not two parts", file.name(), i, line);
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

}  // namespace

Result<Tokenizer> Tokenizer::from_gguf(const formats::GgufFile& file) {
  auto impl = std::make_unique<Impl>();
  DSPARK_TRY(const std::string model, file.string("tokenizer.ggml.model"));
  const bool gemma = model == "gemma4";
  if (model != "gpt2" && !gemma)
    return fail("{}: key tokenizer.ggml.model: \"{}\" is not supported, expected gpt2 or gemma4", file.name(), model);
  DSPARK_TRY(const auto* texts, file.strings("tokenizer.ggml.tokens"));
  std::vector<TokenKind> kinds(texts->size(), TokenKind::kNormal);
  if (file.has("tokenizer.ggml.token_type")) {
    DSPARK_TRY(const std::vector<int64_t> types, file.integers("tokenizer.ggml.token_type"));
    if (types.size() != kinds.size())
      return fail("{}: key tokenizer.ggml.token_type: {} items for {} tokens", file.name(), types.size(), kinds.size());
    for (size_t i = 0; i < types.size(); ++i) kinds[i] = kind_of(types[i]);
  }
  const auto vocab = static_cast<int32_t>(std::min<size_t>(texts->size(), kMaxVocab));
  DSPARK_TRY(impl->vocabulary, Vocabulary::create(file.name(), *texts, std::move(kinds),
                                                  gemma ? Spelling::kPlain : Spelling::kByteLevel));
  DSPARK_TRY(const auto merges, read_merges(file));
  DSPARK_RETURN_IF_ERROR(impl->vocabulary.add_merges(file.name(), merges));
  for (int32_t id = 0; id < vocab; ++id) {
    const TokenKind kind = impl->vocabulary.kind(id);
    if (kind == TokenKind::kControl || kind == TokenKind::kUserDefined) impl->added.push_back({id, kind == TokenKind::kControl});
  }

  DSPARK_TRY(const std::string pre, file.string("tokenizer.ggml.pre", "default"));
  if (gemma) {
    impl->pre_tokenizer_name = "gemma";
    impl->replacements.emplace_back(" ", "\xe2\x96\x81");
    impl->byte_fallback = true;
    DSPARK_TRY(impl->unknown_id, token_id(file, "tokenizer.ggml.unknown_token_id", vocab));
  } else {
    impl->pre_tokenizer_name = pre;
    if (!impl->pre_tokenizer.add_family(pre))
      return fail("{}: key tokenizer.ggml.pre: \"{}\" is not known, expected {}", file.name(), pre,
                  PreTokenizer::known_families());
    impl->nfc = pre == "qwen2";
    impl->ignore_merges = pre == "llama-bpe" || pre == "llama3";
  }
  DSPARK_TRY(impl->bos_id, token_id(file, "tokenizer.ggml.bos_token_id", vocab));
  DSPARK_TRY(impl->eos_id, token_id(file, "tokenizer.ggml.eos_token_id", vocab));
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    DSPARK_TRY(const int32_t id, token_id(file, key, vocab));
    if (id >= 0) impl->stop_ids.push_back(id);
  }
  const bool default_bos = impl->ignore_merges || gemma;  // families whose files may leave it out
  DSPARK_TRY(impl->add_bos, file.boolean("tokenizer.ggml.add_bos_token", default_bos && impl->bos_id >= 0));
  impl->add_bos = impl->add_bos && impl->bos_id >= 0;
  DSPARK_TRY(impl->chat_template, file.string("tokenizer.chat_template", ""));
  impl->finish();
  return Tokenizer(std::move(impl));
}

}  // namespace dspark::tokenizer
