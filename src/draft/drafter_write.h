// Writing a drafter's checkpoint in any of its forms, to any weight type.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/base.h"
#include "draft/drafter_file.h"

namespace dspark::draft {

enum class Layout {
  kDspark,    // our own GGUF form: holds everything
  kLlamaCpp,  // GGUF, architecture dflash or eagle3
  kDeepSpec,  // a directory with config.json and model.safetensors
};

struct WriteOptions {
  Layout layout = Layout::kDspark;
  // Of the matrices; empty: as stored. The output head's and the Markov head's may be others.
  std::optional<DType> type = {}, head_type = {}, markov_type = {};
  bool share = false;                   // embedding and head are left out: the target's serve
  std::vector<int32_t> draft_ids = {};  // the draft vocabulary to be, of tokens it drafts; empty:
                                        // as stored
  std::optional<int> candidates = {};   // DrafterConfig::candidates; empty: as stored

  // The target: checked against the drafter, and asked for what the form needs and the drafter
  // leaves to it. May be nullptr.
  model::WeightFile* target = nullptr;
  std::string target_fingerprint = {};
  // Its file, whose tokenizer llama.cpp's form carries. May be nullptr.
  const formats::GgufFile* target_gguf = nullptr;

  std::function<void(size_t done_bytes, size_t total_bytes)> progress = {};  // may be empty
};

struct WriteReport {
  size_t tensors = 0, bytes = 0;
  std::vector<std::string> notes;  // what is not as asked for, or gets lost
};

// An error names what the form can't hold. out appears when everything is written, and not before;
// a directory must not be there yet.
Result<WriteReport> write_drafter(const DrafterFile& drafter, const std::filesystem::path& out,
                                  const WriteOptions& options, ThreadPool& pool);

// Writes a drafter that is in memory, in our own form and float32. values: of a tensor of the
// table, row-major; nullptr leaves it to the target (embedding and head alone).
Status write_values(const DrafterConfig& config, const std::filesystem::path& out,
                    const std::function<const float*(const std::string& name)>& values);

}  // namespace dspark::draft
