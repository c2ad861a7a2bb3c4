// DeepSpec's target cache: read, written again to the same bytes, and the sampler's order.
#include <unistd.h>

#include <cstring>

#include "learn/learn.h"
#include "parity/fixture_json.h"
#include "parity/runner.h"
#include "parity/tensors.h"

namespace dspark::parity {
namespace {

namespace fs = std::filesystem;

std::string bytes_of(const fs::path& file) {
  const auto text = read_file(file, size_t{1} << 24);
  CHECK(text.ok(), "{}", text.message());
  return text.value();
}

void check_sample(const learn::CachedSample& sample, int64_t i,
                  const formats::Safetensors& expected, Report& report) {
  const auto same = [&](const char* what, const uint8_t* data) {
    const TensorView* view = expected.find(fmt::format("sample{}.{}", i, what));
    CHECK(view != nullptr, "no tensor of sample {}: {}", i, what);
    report.check(view->shape[0] == sample.tokens && std::memcmp(view->data, data, view->bytes) == 0,
                 fmt::format("sample {}: {}", i, what));
  };
  same("input_ids", sample.ids);
  same("attention_mask", sample.attention_mask);
  same("loss_mask", sample.loss_mask);
  same("target_hidden_states", sample.hidden);
  same("target_last_hidden_states", sample.last_hidden);
}

// The reference's own shards are of about this many bytes.
void check_rewritten(const learn::TargetCache& cache, const fs::path& folder, Report& report) {
  const fs::path out = fs::temp_directory_path() / fmt::format("dspark-cache-{}", ::getpid());
  fs::remove_all(out);
  auto writer = learn::TargetCacheWriter::create(out, cache.info(), 2200);
  report.check(writer.ok(), "a writer");
  if (!writer.ok()) return;
  for (int64_t i = 0; i < cache.samples(); ++i)
    report.check(writer->add(cache.sample(i)).ok(), "a sample written");
  report.check(!fs::exists(out), "nothing is there before the end");
  report.check(writer->finish().ok(), "the end");
  for (const auto& entry : fs::directory_iterator(folder / "cache")) {
    const std::string name = entry.path().filename();
    if (name == "manifest.json") continue;
    report.check(fs::exists(out / name) && bytes_of(out / name) == bytes_of(entry.path()),
                 name + " written again");
  }
  const auto again = learn::TargetCache::open(out);
  report.check(again.ok() && again.value().samples() == cache.samples(), "read again");
  fs::remove_all(out);
}

void check_order(const nlohmann::json& item, Report& report) {
  const int64_t n = item["dataset_size"], each = item["samples_per_epoch"];
  const int64_t world = item["world_size"], rank = item["rank"];
  std::vector<int64_t> got;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    const std::vector<int64_t> order = learn::epoch_order(n, epoch);
    for (int64_t i = rank; i < each; i += world) got.push_back(order[static_cast<size_t>(i)]);
  }
  report.check(got == item["three_epochs"].get<std::vector<int64_t>>(),
               "the order of three epochs");
}

}  // namespace

void check_target_cache(const fs::path& folder, Report& report) {
  const auto cache = learn::TargetCache::open(folder / "cache");
  report.check(cache.ok(), cache.ok() ? "" : cache.message());
  if (!cache.ok()) return;
  const auto expected = formats::Safetensors::open(folder / "expected.safetensors").take();
  const nlohmann::json json = read_json(folder / "expected.json");
  report.check(cache.value().samples() == static_cast<int64_t>(json["index_records"].size()),
               "number of samples");
  for (int64_t i = 0; i < cache.value().samples(); ++i)
    check_sample(cache.value().sample(i), i, expected, report);
  check_rewritten(cache.value(), folder, report);
  for (const auto& item : json["epoch_order"]) check_order(item, report);
}

}  // namespace dspark::parity
