#include "draft/drafter_write.h"

#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>

#include "draft/config_json.h"
#include "draft/dspark_keys.h"
#include "draft/write_llamacpp.h"
#include "draft/write_plan.h"

namespace dspark::draft {
namespace {

namespace fs = std::filesystem;

// Takes the progress through all tensors' rows, in parts that keep memory small.
class RowWriter {
 public:
  RowWriter(const DrafterFile& drafter, const WritePlan& plan, const WriteOptions& options,
            ThreadPool& pool)
      : drafter_(drafter), options_(options), pool_(pool), total_(plan.bytes()) {}

  template <class Write>  // (const uint8_t* data, size_t bytes) -> Status
  Status rows_of(const PlannedTensor& tensor, Write write) {
    constexpr size_t kPartBytes = size_t{8} << 20;
    const auto rows = static_cast<int64_t>(tensor.rows.size());
    const int64_t part = std::clamp<int64_t>(static_cast<int64_t>(kPartBytes / tensor.row_bytes()),
                                             1, std::max<int64_t>(rows, 1));
    std::vector<uint8_t> buffer(static_cast<size_t>(part) * tensor.row_bytes());
    for (int64_t begin = 0; begin < rows; begin += part) {
      const int64_t end = std::min(rows, begin + part);
      const size_t bytes = static_cast<size_t>(end - begin) * tensor.row_bytes();
      DSPARK_RETURN_IF_ERROR(convert_rows(drafter_, tensor, begin, end, pool_, buffer.data()));
      DSPARK_RETURN_IF_ERROR(write(buffer.data(), bytes));
      done_ += bytes;
      if (options_.progress) options_.progress(done_, total_);
    }
    const TensorView* first = tensor.rows.front().tensor;
    if (first != nullptr && first == drafter_.find(first->name)) drafter_.release(*first);
    return {};
  }

 private:
  const DrafterFile& drafter_;
  const WriteOptions& options_;
  ThreadPool& pool_;
  size_t total_, done_ = 0;
};

// What RoPE's frequencies are divided by: stored, or for llama.cpp Llama 3's scaling as divisors.
std::vector<float> rope_divisors(const DrafterConfig& config, Layout layout) {
  const model::Rope& rope = config.decoder.kinds[0].rope;
  if (!rope.frequency_divisors.empty())
    return {rope.frequency_divisors.begin(), rope.frequency_divisors.end()};
  if (layout != Layout::kLlamaCpp || rope.scaling != model::RopeScaling::kLlama3) return {};
  model::Rope plain = rope;
  plain.scaling = model::RopeScaling::kNone;
  float amplitude = 1;
  std::vector<float> divisors = model::rope_frequencies(plain, &amplitude);
  const std::vector<float> scaled = model::rope_frequencies(rope, &amplitude);
  for (size_t i = 0; i < divisors.size(); ++i) divisors[i] /= scaled[i];
  return divisors;
}

Status write_gguf(const WritePlan& plan, const fs::path& out, const WriteOptions& options,
                  RowWriter& rows) {
  const DrafterConfig& config = plan.config;
  const bool ours = options.layout == Layout::kDspark;
  formats::GgufWriter writer(out);
  if (ours)
    set_dspark_keys(config, writer);
  else
    DSPARK_RETURN_IF_ERROR(set_llamacpp_keys(config, *options.target_gguf, writer));
  const std::vector<float> divisors = rope_divisors(config, options.layout);
  const std::vector<int64_t> wide_ids(config.d2t.begin(), config.d2t.end());
  if (!config.d2t.empty())
    writer.declare(kD2tTensor, ours ? DType::kI32 : DType::kI64, {config.draft_vocab});
  if (!divisors.empty())
    writer.declare(kRopeFreqsTensor, DType::kF32, {static_cast<int64_t>(divisors.size())});
  for (const PlannedTensor& tensor : plan.tensors)
    writer.declare(tensor.name, tensor.type, tensor.shape);
  DSPARK_RETURN_IF_ERROR(writer.begin());
  if (!config.d2t.empty() && ours)
    DSPARK_RETURN_IF_ERROR(
        writer.write_tensor(config.d2t.data(), config.d2t.size() * sizeof(int32_t)));
  if (!config.d2t.empty() && !ours)
    DSPARK_RETURN_IF_ERROR(writer.write_tensor(wide_ids.data(), wide_ids.size() * sizeof(int64_t)));
  if (!divisors.empty())
    DSPARK_RETURN_IF_ERROR(writer.write_tensor(divisors.data(), divisors.size() * sizeof(float)));
  for (const PlannedTensor& tensor : plan.tensors)
    DSPARK_RETURN_IF_ERROR(rows.rows_of(
        tensor, [&](const uint8_t* data, size_t bytes) { return writer.write_part(data, bytes); }));
  return writer.finish();
}

const char* torch_name(DType type) {
  return type == DType::kF32 ? "float32" : type == DType::kF16 ? "float16" : "bfloat16";
}

Status write_directory(const WritePlan& plan, const fs::path& folder, RowWriter& rows) {
  std::deque<std::vector<uint8_t>> contents;
  std::vector<TensorView> views;
  DType type = DType::kBF16;
  for (const PlannedTensor& tensor : plan.tensors) {
    std::vector<uint8_t>& content = contents.emplace_back();
    content.reserve(tensor.bytes());
    DSPARK_RETURN_IF_ERROR(rows.rows_of(tensor, [&](const uint8_t* data, size_t bytes) {
      content.insert(content.end(), data, data + bytes);
      return Status();
    }));
    views.push_back({tensor.name, tensor.type, tensor.shape, content.data(), content.size()});
    if (tensor.name == "fc.weight") type = tensor.type;
  }
  DSPARK_RETURN_IF_ERROR(
      formats::write_safetensors(folder / "model.safetensors", views, {{"format", "pt"}}));
  nlohmann::json config = config_to_json(plan.config);
  config["dtype"] = torch_name(type);
  return write_file_atomically(folder / "config.json", config.dump(2) + "\n");
}

// Under another name beside it first, so that a reader finds all of the checkpoint or nothing.
Status write_deepspec(const WritePlan& plan, const fs::path& out, RowWriter& rows) {
  std::error_code error;
  if (fs::exists(out, error) && !fs::is_empty(out, error))
    return fail("{}: exists already: a checkpoint's directory is written anew", out.string());
  fs::path parent = out.has_filename() ? out : out.parent_path();
  std::string name = parent.string() + ".part-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr)
    return fail("{}: cannot make a directory: {}", name, std::strerror(errno));
  fs::permissions(name,
                  fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec |
                      fs::perms::others_read | fs::perms::others_exec,
                  error);
  Status status = write_directory(plan, name, rows);
  if (status.ok()) {
    fs::remove(out, error);  // an empty one
    fs::rename(name, parent, error);
    if (error) status = fail("{}: cannot rename {}: {}", out.string(), name, error.message());
  }
  if (!status.ok()) fs::remove_all(name, error);
  return status;
}

}  // namespace

Result<WriteReport> write_drafter(const DrafterFile& drafter, const fs::path& out,
                                  const WriteOptions& options, ThreadPool& pool) {
  DSPARK_TRY(WritePlan plan, plan_write(drafter, options));
  RowWriter rows(drafter, plan, options, pool);
  if (options.layout == Layout::kDeepSpec)
    DSPARK_RETURN_IF_ERROR(write_deepspec(plan, out, rows));
  else
    DSPARK_RETURN_IF_ERROR(write_gguf(plan, out, options, rows));
  return std::move(plan.report);
}

}  // namespace dspark::draft
