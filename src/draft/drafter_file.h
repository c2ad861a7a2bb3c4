// A drafter's checkpoint, whatever its form: what it is, and its tensors under DeepSpec's names
// (spec A.3). Forms: DeepSpec's Hugging Face directories, llama.cpp's GGUF files, and our own GGUF
// (docs/formats.md). Everything in a file is checked before it is used.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "model/model.h"
#include "verify/verify.h"

namespace dspark::draft {

enum class Kind { kBlock, kEagle3 };  // kBlock: DSpark; DFlash where it has no Markov head
enum class MarkovHead { kNone, kVanilla, kGated, kRnn };
const char* markov_head_name(MarkovHead head);  // "none", "vanilla", "gated", "rnn"

// A calibration that a drafter's file holds, and what it was fitted on.
struct StoredCalibration {
  struct Data {
    std::string name, xxh3;  // a prompt file's, without its folder
  };
  verify::ModeCalibration fit;
  std::string target, target_xxh3;  // name, and hash of its file or files
  std::vector<Data> data;
  int64_t prompts = 0, cycles = 0;
  std::string program;  // its version
};

struct DrafterConfig {
  std::string name;  // the file's or directory's path, for messages
  Kind kind = Kind::kBlock;
  // The draft layers as a decoder: layers, hidden (the target's), heads, RoPE, norms; vocab is the
  // target's vocabulary.
  model::Spec decoder;

  // The target it was made for.
  int target_layers = 0;              // 0: not stored
  std::vector<int> target_layer_ids;  // the taps, ascending; -1: the embedding output
  std::string tokenizer_fingerprint;  // Tokenizer::fingerprint(), empty: not stored

  // kBlock
  int block_size = 0;  // inputs of a block: the anchor and masks
  int32_t mask_token_id = -1;
  bool anchor_predicts = true;  // slot j is input j (DeepSpec); false: input j + 1 (DFlash's own)
  int markov_rank = 0;          // 0: no Markov head
  MarkovHead markov_head = MarkovHead::kNone;
  bool confidence_head = false;
  bool confidence_with_markov = false;  // its input is [h ; w1[prev]], not h alone
  // Slots' corrected logits are made for so many tokens of the largest base logits, and only they
  // are drafted, at temperatures above 0 for four times as many; 0: for all.
  int candidates = 0;

  // kEagle3
  int ttt_length = 0;  // most drafts of a cycle

  // Rows of the head and of the Markov head's w2. draft_vocab == decoder.vocab: all tokens, in
  // order; else row r stands for target token d2t[r], strictly ascending.
  int draft_vocab = 0;
  std::vector<int32_t> d2t;  // [draft_vocab], empty when all

  // Of the confidence head: each of another mode or temperature. Our own form alone holds them.
  std::vector<StoredCalibration> calibrations;

  int taps() const { return static_cast<int>(target_layer_ids.size()); }
  int slots() const {  // most drafts of a cycle
    return kind == Kind::kEagle3 ? ttt_length : anchor_predicts ? block_size : block_size - 1;
  }
};

// Whether a file of this architecture (GGUF's general.architecture, config.json's architectures) is
// a drafter.
bool is_drafter(std::string_view architecture);

// An open checkpoint.
class DrafterFile {
 public:
  // A GGUF file or a Hugging Face directory.
  static Result<DrafterFile> open(const std::filesystem::path& path);
  // From bytes that stay alive as long as the result: a GGUF file's, or a directory's config.json
  // and model.safetensors. For tests and fuzzing.
  static Result<DrafterFile> parse(const uint8_t* data, size_t size, const std::string& name);
  static Result<DrafterFile> parse(std::string_view config, const uint8_t* tensors, size_t size,
                                   const std::string& name);
  DrafterFile(DrafterFile&&) noexcept;
  DrafterFile& operator=(DrafterFile&&) noexcept;
  ~DrafterFile();

  const DrafterConfig& config() const;
  bool is_own_form() const;  // not DeepSpec's nor llama.cpp's
  // By DeepSpec's name ("layers.0.self_attn.q_proj.weight", "markov_head.markov_w1.weight");
  // nullptr when absent. embed_tokens.weight and lm_head.weight may be absent: then the target's
  // serve.
  const TensorView* find(std::string_view name) const;
  // Every tensor, under DeepSpec's names, in the order of spec A.3. All have the shapes that the
  // config asks for: open() has seen to that, and to missing and unknown ones.
  const std::vector<TensorView>& tensors() const;
  void release(const TensorView& tensor) const;

 private:
  struct Impl;
  explicit DrafterFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A hash (16 hex digits) of everything that makes drafts and confidences: config and tensors, not
// calibrations nor the file's name.
std::string fingerprint(const DrafterFile& file);

// An error that says what differs when the drafter was not made for this target: hidden size, taps,
// number of layers, vocabulary, tokenizer. target_fingerprint: of the target's tokenizer, empty
// when unknown.
Status check_fits(const DrafterConfig& drafter, const model::Spec& target,
                  std::string_view target_fingerprint);

}  // namespace dspark::draft
