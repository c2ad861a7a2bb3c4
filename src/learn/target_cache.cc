#include "learn/target_cache.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "learn/target_cache_layout.h"

namespace dspark::learn {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostManifest = size_t{64} << 20;

struct Manifest {
  TargetCacheInfo info;
  int64_t samples = 0;
  std::vector<std::string> shards;
};

class ManifestReader {
 public:
  ManifestReader(const nlohmann::json& json, const std::string& name) : json_(json), name_(name) {}

  Result<int64_t> integer(const char* key, int64_t low, int64_t high) const {
    const auto found = json_.find(key);
    if (found == json_.end() || !found->is_number_integer() || found->get<int64_t>() < low ||
        found->get<int64_t>() > high)
      return fail("{}: key {}: expected a whole number from {} to {}", name_, key, low, high);
    return found->get<int64_t>();
  }
  Status is(const char* key, const nlohmann::json& want) const {
    const auto found = json_.find(key);
    if (found == json_.end() || *found != want)
      return fail("{}: key {}: {}, expected {}", name_, key,
                  found == json_.end() ? "absent" : found->dump(), want.dump());
    return {};
  }
  std::string text(const char* key) const {
    const auto found = json_.find(key);
    return found != json_.end() && found->is_string() ? found->get<std::string>() : std::string();
  }

 private:
  const nlohmann::json& json_;
  const std::string& name_;
};

Result<std::vector<int>> layer_ids(const nlohmann::json& json, const std::string& name) {
  const auto found = json.find("target_layer_ids");
  std::vector<int> ids;
  if (found != json.end() && found->is_array())
    for (const auto& id : *found) {
      if (!id.is_number_integer() || id.get<int64_t>() < -1 || id.get<int64_t>() > 100000 ||
          (!ids.empty() && id.get<int64_t>() <= ids.back()))
        return fail("{}: key target_layer_ids: {}, expected layers, ascending", name, id.dump());
      ids.push_back(id.get<int>());
    }
  if (ids.empty()) return fail("{}: key target_layer_ids: expected a list of layers", name);
  return ids;
}

// Plain names alone: a manifest may not lead out of its directory.
Result<std::vector<std::string>> shard_names(const nlohmann::json& json, const std::string& name) {
  std::vector<std::string> names;
  const auto found = json.find("shards");
  if (found != json.end() && found->is_array())
    for (const auto& shard : *found) {
      const bool whole = shard.is_object() && shard.contains("shard_id") &&
                         shard["shard_id"] == names.size() && shard.contains("file_name") &&
                         shard["file_name"].is_string();
      const std::string file = whole ? shard["file_name"].get<std::string>() : std::string();
      if (file.empty() || file.find('/') != std::string::npos || file[0] == '.')
        return fail("{}: key shards: {}, expected shard_id {} and a file_name", name, shard.dump(),
                    names.size());
      names.push_back(file);
    }
  return names;
}

Result<Manifest> read_manifest(const fs::path& file) {
  const std::string name = file.string();
  DSPARK_TRY(const std::string text, read_file(file, kMostManifest));
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return fail("{}: expected a JSON object", name);
  const ManifestReader reader(json, name);
  DSPARK_RETURN_IF_ERROR(reader.is("version", kTargetCacheVersion));
  DSPARK_RETURN_IF_ERROR(reader.is("hidden_dtype", "bfloat16"));
  DSPARK_RETURN_IF_ERROR(reader.is("token_dtype", "int32"));
  DSPARK_RETURN_IF_ERROR(reader.is("mask_dtype", "uint8"));
  DSPARK_RETURN_IF_ERROR(reader.is("index_record_size", sizeof(IndexRecord)));
  Manifest m;
  DSPARK_TRY(m.samples, reader.integer("num_samples", 0, int64_t{1} << 40));
  DSPARK_TRY(const int64_t hidden, reader.integer("hidden_size", 1, 1 << 24));
  m.info.hidden_size = static_cast<int>(hidden);
  DSPARK_TRY(m.info.target_layer_ids, layer_ids(json, name));
  DSPARK_TRY(m.shards, shard_names(json, name));
  DSPARK_RETURN_IF_ERROR(reader.is("num_shards", m.shards.size()));
  m.info.target_name = reader.text("target_model_name_or_path");
  m.info.chat_template = reader.text("chat_template");
  m.info.project_name = reader.text("project_name"), m.info.exp_name = reader.text("exp_name");
  m.info.git_sha = reader.text("git_sha");
  return m;
}

}  // namespace

struct TargetCache::Impl {
  TargetCacheInfo info;
  std::vector<IndexRecord> records;
  std::vector<MappedFile> shards;

  Status check(const fs::path& index, int64_t i) const {
    const IndexRecord& r = records[static_cast<size_t>(i)];
    const auto wrong = [&](const char* what) {
      return fail("{}: record {}: {}", index.string(), i, what);
    };
    if (r.sample_id != static_cast<uint64_t>(i)) return wrong("its sample_id is another");
    if (r.shard_id >= shards.size()) return wrong("there is no such shard");
    if (r.tokens == 0) return wrong("no tokens");
    const uint64_t size = shards[r.shard_id].size(), n = r.tokens;
    const SampleLayout layout(n, static_cast<uint64_t>(info.feature_width()),
                              static_cast<uint64_t>(info.hidden_size));
    const auto inside = [&](uint64_t offset, uint64_t bytes) {
      return offset <= size && bytes <= size - offset;
    };
    if (!inside(r.ids, layout.ids) || !inside(r.attention_mask, n) || !inside(r.loss_mask, n) ||
        !inside(r.hidden, layout.hidden) || !inside(r.last_hidden, layout.last_hidden))
      return wrong("it lies beyond its shard");
    return {};
  }
};

TargetCache::TargetCache(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TargetCache::TargetCache(TargetCache&&) noexcept = default;
TargetCache::~TargetCache() = default;
const TargetCacheInfo& TargetCache::info() const { return impl_->info; }
int64_t TargetCache::samples() const { return static_cast<int64_t>(impl_->records.size()); }

Result<TargetCache> TargetCache::open(const fs::path& directory) {
  DSPARK_TRY(Manifest manifest, read_manifest(directory / kManifestFile));
  auto impl = std::make_unique<Impl>();
  impl->info = manifest.info;
  for (const std::string& shard : manifest.shards) {
    DSPARK_TRY(MappedFile map, MappedFile::open(directory / shard));
    impl->shards.push_back(std::move(map));
  }
  const fs::path index = directory / kIndexFile;
  DSPARK_TRY(const MappedFile map, MappedFile::open(index));
  const auto wanted = static_cast<uint64_t>(manifest.samples) * sizeof(IndexRecord);
  if (map.size() != wanted)
    return fail("{}: {} bytes, expected {} for {} samples", index.string(), map.size(), wanted,
                manifest.samples);
  impl->records.resize(static_cast<size_t>(manifest.samples));
  if (wanted > 0) std::memcpy(impl->records.data(), map.data(), wanted);
  for (int64_t i = 0; i < manifest.samples; ++i) DSPARK_RETURN_IF_ERROR(impl->check(index, i));
  return TargetCache(std::move(impl));
}

CachedSample TargetCache::sample(int64_t i) const {
  CHECK(i >= 0 && i < samples(), "sample {} of {}", i, samples());
  const IndexRecord& r = impl_->records[static_cast<size_t>(i)];
  const uint8_t* base = impl_->shards[r.shard_id].data();
  return {r.tokens,           base + r.ids,    base + r.attention_mask,
          base + r.loss_mask, base + r.hidden, base + r.last_hidden};
}

}  // namespace dspark::learn
