// What every drafter does: context rows in, blocks with ids, confidences and, where verification
// needs them, draft distributions out.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/base.h"
#include "compute/compute.h"
#include "draft/drafter_file.h"
#include "kv/kv.h"
#include "model/model.h"
#include "sample/sample.h"

namespace dspark::draft {

// What a drafter keeps of a request beside its rows in the cache.
class RequestState {
 public:
  virtual ~RequestState() = default;
};

// Committed rows of a request on their way to becoming the drafter's.
struct ContextRows {
  const kv::Sequence* sequence = nullptr;
  int64_t position = 0;  // of the first row; the drafter has the rows [seen_from, position)
  int rows = 0;
  const float* features = nullptr;  // [rows, taps * hidden]: the target's taps of the rows
  // The tokens at positions [position, position + rows]: one more than rows.
  std::span<const int32_t> tokens;
  RequestState* state = nullptr;
  int64_t seen_from = 0;  // rows before it are hidden from these rows and from the block
};

// From what a slot's draft was drawn.
struct Distribution {
  std::vector<int32_t> ids;  // empty: probs is by token id
  std::vector<float> probs;
};

// A request's drafts.
struct Block {
  std::vector<int32_t> ids;       // [slots], target ids
  std::vector<float> confidence;  // [slots] logits; empty where the drafter has no such head
  // [slots]: what the drafter's probabilities say for the draft. Drawn with the target's own noise
  // at a temperature: by how much its log-probability with noise is above the next one's
  // (Sampler::choose's lead). Else the log-odds of the most likely candidate, before the request's
  // sampling, which does not depend on what was drawn. Empty where drafts have no distribution.
  std::vector<float> certainty;
  std::vector<Distribution> distributions;  // [slots or more], set where they were asked for
  std::string fault;  // not empty: what was not finite; ids has the slots before it
  // > 0: the drafts were looked up in the request's own past, behind so many tokens that match, and
  // confidences are of look-ups. The request's context was not taken in.
  int matched = 0;

  void clear() { ids.clear(), confidence.clear(), certainty.clear(), fault.clear(), matched = 0; }
};

struct BlockRequest {
  // The rows that the drafter has not seen, the newest committed row always among them (at least
  // one row).
  ContextRows context;
  std::span<const int32_t> tokens;  // all committed tokens; the last is the anchor, without a row
  int slots = 0;                    // wanted: 1 .. Drafter::slots()
  // Of a drafter that looks up: so many, where drafts must be computed; 0: then there are none.
  int model_slots = 0;
  // With every token up to the anchor pushed; afterwards as before.
  sample::Sampler* sampler = nullptr;
  // How drafts are drawn: as Sampler::choose draws, with the target's own noise (greedy and coupled
  // verification), or from q with variates of their own, q being kept (rejection and block).
  bool own_variates = false;
  std::span<const int32_t> stop_ids;  // no draft is made behind one of these, where that saves work
  Block* out = nullptr;

  int64_t anchor() const { return static_cast<int64_t>(tokens.size()) - 1; }  // its position
};

// Drafts for all requests of an engine. Not thread-safe; uses the engine's threads.
class Drafter {
 public:
  virtual ~Drafter() = default;

  virtual const std::string& name() const = 0;
  virtual int slots() const = 0;  // most drafts of a block
  // Positions behind the anchor that a block's rows take in the cache; the sequence must have room.
  virtual int scratch_rows() const { return 0; }
  virtual std::span<const int> tap_layers() const { return {}; }  // of the target
  virtual bool looks_ahead() const { return false; }  // its row i depends on token i + 1
  virtual bool looks_up() const { return false; }     // its blocks may be looked up, too
  virtual bool has_confidence() const { return false; }
  // Of its confidences; nullptr where there is nothing to calibrate.
  virtual const std::vector<StoredCalibration>* calibrations() const { return nullptr; }
  virtual std::unique_ptr<RequestState> new_state() const { return nullptr; }

  // Makes the rows the drafter's, Place::context_rows of them at most. Without taps there is
  // nothing to do.
  virtual void absorb(std::span<const ContextRows> rows) {}
  virtual void draft(std::span<const BlockRequest> requests) = 0;
  // How a block went: of `verified` drafts `accepted` stood.
  virtual void observe(RequestState* state, int verified, int accepted) {}
};

struct DrafterOptions {
  std::optional<DType> quantise;  // every matrix in this type
  int candidates = -1;            // see DrafterConfig::candidates; -1: the checkpoint's, else 64
  model::LoadProgress progress;   // may be empty
};

// A trained drafter, loaded for a target.
struct DrafterModel {
  DrafterConfig config;
  model::Model decoder;
  compute::PackedMatrix markov_w1;  // [vocab, rank]
  // Small matrices of the heads, read row by row: row-major.
  struct Dense {
    int64_t rows = 0, columns = 0;
    std::vector<float> values;
    const float* row(int64_t r) const { return values.data() + r * columns; }
  };
  Dense markov_w2;   // [draft vocab, rank]
  Dense gate;        // gated: [rank, hidden + rank]; rnn: [3 rank, 2 rank + hidden]
  Dense confidence;  // [1, hidden (+ rank)]
  std::vector<float> gate_bias, confidence_bias;
  compute::AlignedBuffer head_rows;  // where decoder.head lies when its rows are picked
};

// target_path: the file that target was loaded from, for head rows that the drafter borrows.
Result<std::unique_ptr<DrafterModel>> load_drafter(const DrafterFile& file,
                                                   const model::Model& target,
                                                   const std::filesystem::path& target_path,
                                                   const DrafterOptions& options, ThreadPool& pool);

// Where a trained drafter works: its layers lie behind the target's in the pages.
struct Place {
  const compute::Kernels* kernels;
  ThreadPool* pool;
  kv::PagePool* pages;
  int first_layer;
  int context_rows;  // most context rows of one call, all requests together, the drafts' included
  int requests;      // most requests of one call
  int64_t context;   // most positions of a sequence
};
std::unique_ptr<Drafter> make_drafter(std::unique_ptr<DrafterModel> model, const Place& place);

// Looks the request's last tokens up in what came before them.
std::unique_ptr<Drafter> make_ngram();
inline constexpr int kShortestMatch = 2, kLongestMatch = 4;  // tokens that are looked up

// The drafter, and look-up for blocks of which it promises more.
std::unique_ptr<Drafter> add_lookup(std::unique_ptr<Drafter> drafter);
// How a drafter with look-up is named: its own name and this behind it.
inline constexpr std::string_view kLookup = "+ngram";
inline std::string_view without_lookup(std::string_view name) {
  return name.ends_with(kLookup) ? name.substr(0, name.size() - kLookup.size()) : name;
}

}  // namespace dspark::draft
