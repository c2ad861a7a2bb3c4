#include "learn/digest.h"

#define XXH_STATIC_LINKING_ONLY  // the state as a member
#include <xxhash.h>

#include <algorithm>
#include <fstream>
#include <vector>

namespace dspark::learn {
namespace {

constexpr uint64_t kSamples = 256;
constexpr uint64_t kSampleBytes = 65536;

Status add_samples(const std::filesystem::path& file, Digest& digest) {
  std::error_code error;
  const uint64_t bytes = std::filesystem::file_size(file, error);
  std::ifstream in(file, std::ios::binary);
  if (error || !in) return fail("{}: cannot read", file.string());
  digest.add(fmt::format("{}\n", bytes));
  const uint64_t last = bytes > kSampleBytes ? bytes - kSampleBytes : 0;
  const uint64_t samples = std::min(kSamples, bytes / kSampleBytes + 1);
  std::vector<char> buffer(kSampleBytes);
  for (uint64_t i = 0; i < samples; ++i) {
    const uint64_t at = samples > 1 ? last / (samples - 1) * i : 0;
    in.seekg(static_cast<std::streamoff>(at));
    in.read(buffer.data(), static_cast<std::streamsize>(std::min(kSampleBytes, bytes)));
    if (!in) return fail("{}: cannot read at {}", file.string(), at);
    digest.add({buffer.data(), static_cast<size_t>(in.gcount())});
  }
  return {};
}

}  // namespace

struct Digest::State {
  XXH3_state_t hash;
};

Digest::Digest() : state_(std::make_unique<State>()) {
  XXH3_INITSTATE(&state_->hash);
  XXH3_64bits_reset(&state_->hash);
}

Digest::~Digest() = default;

void Digest::add(std::string_view bytes) {
  XXH3_64bits_update(&state_->hash, bytes.data(), bytes.size());
}

std::string Digest::text() const {
  return fmt::format("{:016x}", XXH3_64bits_digest(&state_->hash));
}

Result<std::string> weights_digest(const std::filesystem::path& model) {
  Digest digest;
  std::error_code error;
  if (!std::filesystem::is_directory(model, error)) {
    DSPARK_RETURN_IF_ERROR(add_samples(model, digest));
    return digest.text();
  }
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(model, error))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  if (files.empty()) return fail("{}: expected .safetensors files, found none", model.string());
  std::sort(files.begin(), files.end());
  for (const auto& file : files) DSPARK_RETURN_IF_ERROR(add_samples(file, digest));
  return digest.text();
}

}  // namespace dspark::learn
