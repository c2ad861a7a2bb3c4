// A tokenizer from GGUF metadata (tokenizer.ggml.*).
#include "tokenizer/bpe_impl.h"
#include "tokenizer/utf8.h"

namespace dspark::tokenizer {
namespace {

using formats::GgufFile;
using Merges = std::vector<std::pair<std::string_view, std::string_view>>;

// -1 when the key is absent or holds the "none" of 32 bits.
Result<int32_t> token_id(const GgufFile& file, const char* key, const Vocabulary& vocabulary) {
  DSPARK_TRY(const int64_t id, file.integer(key, -1));
  if (id == -1 || id == UINT32_MAX) return -1;
  if (!vocabulary.contains(id))
    return fail("{}: key {}: {} is not in the vocabulary of {} tokens", file.name(), key, id,
                vocabulary.size());
  return static_cast<int32_t>(id);
}

TokenKind kind_of(int64_t type) {
  switch (type) {
    case 3:
      return TokenKind::kControl;
    case 4:
      return TokenKind::kUserDefined;
    case 5:
      return TokenKind::kUnused;
    case 6:
      return TokenKind::kByte;
    default:
      return TokenKind::kNormal;
  }
}

Result<Vocabulary> read_vocabulary(const GgufFile& file, Spelling spelling) {
  DSPARK_TRY(const auto* tokens, file.strings("tokenizer.ggml.tokens"));
  std::vector<TokenKind> kinds(tokens->size(), TokenKind::kNormal);
  constexpr const char* kTypes = "tokenizer.ggml.token_type";
  if (file.has(kTypes)) {
    DSPARK_TRY(const std::vector<int64_t> types, file.integers(kTypes));
    if (types.size() != kinds.size())
      return fail("{}: key {}: {} items, expected one for each of {} tokens", file.name(), kTypes,
                  types.size(), kinds.size());
    for (size_t i = 0; i < types.size(); ++i) kinds[i] = kind_of(types[i]);
  }
  const std::vector<std::string_view> texts(tokens->begin(), tokens->end());
  return Vocabulary::create(file.name() + ": key tokenizer.ggml.tokens", texts, std::move(kinds),
                            spelling);
}

Status read_merges(const GgufFile& file, Vocabulary& vocabulary) {
  const std::string where = file.name() + ": key tokenizer.ggml.merges";
  DSPARK_TRY(const auto* lines, file.strings("tokenizer.ggml.merges"));
  Merges merges;
  merges.reserve(lines->size());
  for (size_t i = 0; i < lines->size(); ++i) {
    const std::string_view line = (*lines)[i];
    const size_t space = line.find(' ', 1);
    if (space == std::string::npos || space + 1 == line.size())
      return fail("{}: item {}: {} is not two parts", where, i, in_quotes(line));
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return vocabulary.add_merges(where, merges);
}

Status set_plain_family(const GgufFile& file, Tokenizer::Impl& impl) {
  impl.pre_tokenizer_name = "none";
  impl.normaliser.add_replacement(" ", "\xe2\x96\x81");
  impl.byte_fallback = true;
  impl.fuse_unknown = true;
  DSPARK_TRY(impl.unknown_id, token_id(file, "tokenizer.ggml.unknown_token_id", impl.vocabulary));
  return {};
}

Status set_byte_level_family(const GgufFile& file, Tokenizer::Impl& impl) {
  DSPARK_TRY(impl.pre_tokenizer_name, file.string("tokenizer.ggml.pre", "default"));
  const std::string& pre = impl.pre_tokenizer_name;
  if (!impl.pre_tokenizer.add_family(pre))
    return fail("{}: key tokenizer.ggml.pre: {} is not known, expected one of {}", file.name(),
                in_quotes(pre), PreTokenizer::known_families());
  if (pre == "qwen2") impl.normaliser.add_form(Normaliser::Form::kNfc);
  impl.ignore_merges = pre == "llama-bpe" || pre == "llama3" || pre == "llama-v3";
  return {};
}

}  // namespace

Result<Tokenizer> Tokenizer::from_gguf(const GgufFile& file) {
  auto impl = std::make_unique<Impl>();
  DSPARK_TRY(const std::string model, file.string("tokenizer.ggml.model"));
  const bool plain = model == "gemma4";
  if (model != "gpt2" && !plain)
    return fail(
        "{}: key tokenizer.ggml.model: {} is not supported, expected "
        "gpt2 or gemma4 (BPE){}",
        file.name(), in_quotes(model),
        model == "llama" ? "; \"llama\" is SentencePiece with scores" : "");
  DSPARK_TRY(impl->vocabulary,
             read_vocabulary(file, plain ? Spelling::kPlain : Spelling::kByteLevel));
  const Vocabulary& vocabulary = impl->vocabulary;
  DSPARK_RETURN_IF_ERROR(read_merges(file, impl->vocabulary));
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const TokenKind kind = vocabulary.kind(id);
    const std::string_view text = vocabulary.text(id);
    if (kind != TokenKind::kControl && kind != TokenKind::kUserDefined) continue;
    if (text.size() > kMaxAddedBytes)
      return fail(
          "{}: key tokenizer.ggml.tokens: token {}: {} bytes, expected "
          "at most {}",
          file.name(), id, text.size(), kMaxAddedBytes);
    AddedToken token{.id = id, .control = kind == TokenKind::kControl};
    if (!text.empty()) impl->added.add(std::string(text), token);
  }
  DSPARK_RETURN_IF_ERROR(plain ? set_plain_family(file, *impl)
                               : set_byte_level_family(file, *impl));

  DSPARK_TRY(impl->bos_id, token_id(file, "tokenizer.ggml.bos_token_id", vocabulary));
  DSPARK_TRY(impl->eos_id, token_id(file, "tokenizer.ggml.eos_token_id", vocabulary));
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    DSPARK_TRY(const int32_t id, token_id(file, key, vocabulary));
    if (id >= 0) impl->stop_ids.push_back(id);
  }
  const bool bos_by_default =
      impl->ignore_merges || plain;  // families whose files may leave it out
  DSPARK_TRY(const bool add_bos, file.boolean("tokenizer.ggml.add_bos_token", bos_by_default));
  impl->add_bos = add_bos && impl->bos_id >= 0;
  DSPARK_TRY(impl->chat_template, file.string("tokenizer.chat_template", ""));
  impl->finish();
  return Tokenizer(std::move(impl));
}

}  // namespace dspark::tokenizer
