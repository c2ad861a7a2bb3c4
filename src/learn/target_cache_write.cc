#include <nlohmann/json.hpp>

#include "learn/target_cache.h"
#include "learn/target_cache_layout.h"

namespace dspark::learn {

namespace fs = std::filesystem;

struct TargetCacheWriter::Impl {
  fs::path directory, temporary;
  TargetCacheInfo info;
  uint64_t shard_bytes = 0;
  std::vector<AtomicFile> shard;  // the open one, or none
  std::vector<IndexRecord> records;
  uint32_t shards = 0;
  uint64_t at = 0;  // bytes of the open shard
  bool finished = false;

  ~Impl() {
    std::error_code ignored;
    shard.clear();
    if (!finished) fs::remove_all(temporary, ignored);
  }
  static std::string shard_name(uint32_t number) { return fmt::format("shard-{:05}.bin", number); }

  Status close_shard() {
    if (shard.empty()) return {};
    const Status done = shard.front().commit();
    shard.clear();
    return done;
  }
  Status next_shard() {
    DSPARK_RETURN_IF_ERROR(close_shard());
    DSPARK_TRY(AtomicFile file, AtomicFile::create(temporary / shard_name(shards)));
    shard.push_back(std::move(file));
    ++shards, at = 0;
    return {};
  }
};

TargetCacheWriter::TargetCacheWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TargetCacheWriter::TargetCacheWriter(TargetCacheWriter&&) noexcept = default;
TargetCacheWriter::~TargetCacheWriter() = default;

Result<TargetCacheWriter> TargetCacheWriter::create(const fs::path& directory, TargetCacheInfo info,
                                                    uint64_t shard_bytes) {
  if (fs::exists(directory)) return fail("{}: is there already", directory.string());
  auto impl = std::make_unique<Impl>();
  impl->directory = directory;
  impl->temporary = directory.string() + ".part";
  impl->info = std::move(info);
  impl->shard_bytes = shard_bytes;
  std::error_code error;
  fs::remove_all(impl->temporary, error);  // a killed writer's
  fs::create_directories(impl->temporary, error);
  if (error)
    return fail("{}: cannot make the folder: {}", impl->temporary.string(), error.message());
  return TargetCacheWriter(std::move(impl));
}

Status TargetCacheWriter::add(const CachedSample& sample) {
  Impl& w = *impl_;
  const SampleLayout layout(static_cast<uint64_t>(sample.tokens),
                            static_cast<uint64_t>(w.info.feature_width()),
                            static_cast<uint64_t>(w.info.hidden_size));
  // A sample never spans shards; one that is larger than a shard has one of its own.
  if (w.shard.empty() || (w.at > 0 && w.at + layout.total() > w.shard_bytes))
    DSPARK_RETURN_IF_ERROR(w.next_shard());
  IndexRecord r;
  r.sample_id = w.records.size();
  r.shard_id = w.shards - 1;
  r.tokens = static_cast<uint32_t>(sample.tokens);
  r.ids = w.at;
  r.attention_mask = r.ids + layout.ids;
  r.loss_mask = r.attention_mask + layout.mask;
  r.hidden = r.loss_mask + layout.mask;
  r.last_hidden = r.hidden + layout.hidden;
  const std::pair<const uint8_t*, uint64_t> parts[] = {{sample.ids, layout.ids},
                                                       {sample.attention_mask, layout.mask},
                                                       {sample.loss_mask, layout.mask},
                                                       {sample.hidden, layout.hidden},
                                                       {sample.last_hidden, layout.last_hidden}};
  for (const auto& [data, bytes] : parts)
    DSPARK_RETURN_IF_ERROR(w.shard.front().write(data, bytes));
  w.at += layout.total();
  w.records.push_back(r);
  return {};
}

Status TargetCacheWriter::finish() {
  Impl& w = *impl_;
  DSPARK_RETURN_IF_ERROR(w.close_shard());
  nlohmann::json shards = nlohmann::json::array();
  for (uint32_t i = 0; i < w.shards; ++i)
    shards.push_back({{"shard_id", i}, {"file_name", Impl::shard_name(i)}});
  const nlohmann::json manifest = {{"version", kTargetCacheVersion},
                                   {"num_samples", w.records.size()},
                                   {"num_shards", w.shards},
                                   {"target_layer_ids", w.info.target_layer_ids},
                                   {"hidden_dtype", "bfloat16"},
                                   {"token_dtype", "int32"},
                                   {"mask_dtype", "uint8"},
                                   {"index_record_size", sizeof(IndexRecord)},
                                   {"hidden_size", w.info.hidden_size},
                                   {"shards", shards},
                                   {"target_model_name_or_path", w.info.target_name},
                                   {"source_jsonl_paths", w.info.sources},
                                   {"chat_template", w.info.chat_template},
                                   {"max_length", w.info.max_length},
                                   {"min_loss_tokens", w.info.min_loss_tokens},
                                   {"project_name", w.info.project_name},
                                   {"exp_name", w.info.exp_name},
                                   {"git_sha", w.info.git_sha}};
  const std::string index(reinterpret_cast<const char*>(w.records.data()),
                          w.records.size() * sizeof(IndexRecord));
  DSPARK_RETURN_IF_ERROR(write_file_atomically(w.temporary / kIndexFile, index));
  DSPARK_RETURN_IF_ERROR(write_file_atomically(w.temporary / kManifestFile, manifest.dump(2)));
  std::error_code error;
  fs::rename(w.temporary, w.directory, error);
  if (error)
    return fail("{}: cannot rename {}: {}", w.directory.string(), w.temporary.string(),
                error.message());
  w.finished = true;
  return {};
}

}  // namespace dspark::learn
