#include "train/feature_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <torch/torch.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

namespace dspark::train {
namespace {

constexpr uint32_t kMark = 0x52465344;  // "DSFR"
constexpr int kVersion = 1;
constexpr size_t kMostHeader = 4096;

struct RecordHead {
  uint32_t mark = kMark, tokens = 0;
  int64_t row = 0;
  uint64_t bytes = 0, checksum = 0;  // of the payload behind the head
};

Status whole(ssize_t done, size_t wanted, const char* what, const std::filesystem::path& file) {
  if (done == static_cast<ssize_t>(wanted)) return {};
  return fail("{}: cannot {}: {}", file.string(), what,
              done < 0 ? std::strerror(errno) : "the file ends too soon");
}

// Alone, or beside others that only read. Another run that begins holds the file for as long as it
// takes to see what is there.
bool lock(int fd) {
  constexpr std::chrono::milliseconds kPatience(5000), kBetween(50);
  for (std::chrono::milliseconds waited(0); waited <= kPatience; waited += kBetween) {
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0 || ::flock(fd, LOCK_SH | LOCK_NB) == 0) return true;
    std::this_thread::sleep_for(kBetween);
  }
  return false;
}

// A matrix [rows, columns] as stored: 16 bits, or 8 with a float scale a row.
void put(const torch::Tensor& x, int bits, std::string& out) {
  const auto append = [&](const torch::Tensor& t) {
    out.append(static_cast<const char*>(t.data_ptr()), t.nbytes());
  };
  if (bits == 16) return append(x.to(torch::kBFloat16).contiguous());
  const torch::Tensor scale = (x.abs().amax(-1, true) / 127).clamp_min(1e-30);
  append(scale.contiguous());
  append((x / scale).round().to(torch::kInt8).contiguous());
}

class Cursor {
 public:
  explicit Cursor(std::string& bytes) : at_(bytes.data()) {}
  torch::Tensor take(std::vector<int64_t> shape, torch::ScalarType type) {
    torch::Tensor view = torch::from_blob(at_, shape, type);
    at_ += view.nbytes();
    return view;
  }
  torch::Tensor matrix(std::vector<int64_t> shape, int bits) {
    if (bits == 16) return take(std::move(shape), torch::kBFloat16).to(torch::kFloat32);
    std::vector<int64_t> scales = shape;
    scales.back() = 1;
    const torch::Tensor scale = take(scales, torch::kFloat32);
    return take(std::move(shape), torch::kInt8).to(torch::kFloat32) * scale;
  }

 private:
  char* at_;
};

}  // namespace

Result<Sample> read_sample(engine::Engine& engine, const learn::Example& example,
                           const std::vector<int>& taps) {
  const auto tokens = static_cast<int64_t>(example.ids.size());
  const int64_t hidden = engine.info().hidden, width = static_cast<int64_t>(taps.size()) * hidden;
  Sample sample{example.ids, example.loss_mask, torch::empty({tokens, width}),
                torch::empty({tokens, hidden}), torch::empty({tokens})};
  const torch::NoGradGuard guard;
  DSPARK_RETURN_IF_ERROR(engine.read(example.ids, taps, [&](const engine::Reading& reading) {
    const auto rows = static_cast<size_t>(reading.rows);
    std::memcpy(sample.features.data_ptr<float>() + reading.position * width, reading.taps,
                rows * static_cast<size_t>(width) * sizeof(float));
    std::memcpy(sample.last_hidden.data_ptr<float>() + reading.position * hidden, reading.normed,
                rows * static_cast<size_t>(hidden) * sizeof(float));
    const std::span<const float> first = reading.logits.front();
    const int64_t stride = reading.rows > 1 ? reading.logits[1].data() - first.data() : 1;
    const torch::Tensor logits =
        torch::from_blob(const_cast<float*>(first.data()),
                         {reading.rows, static_cast<int64_t>(first.size())}, {stride, 1});
    sample.log_sum.slice(0, reading.position, reading.position + reading.rows)
        .copy_(torch::logsumexp(logits, 1));
  }));
  return sample;
}

struct FeatureStore::Impl {
  Impl(FeatureOptions options, engine::Engine& engine)
      : options(std::move(options)), engine(engine) {}
  ~Impl() {
    if (fd >= 0) ::close(fd);
  }

  Status open_file(int64_t rows);
  Status index(int64_t rows);
  Status append(int64_t row, const Sample& sample);
  Result<Sample> load(int64_t row, const learn::Example& example);

  FeatureOptions options;
  engine::Engine& engine;
  int fd = -1;
  std::vector<uint64_t> offsets;  // by row; 0: not there
  uint64_t end = 0;
  int64_t cached = 0;
  double seconds = 0;
};

Status FeatureStore::Impl::open_file(int64_t rows) {
  fd = ::open(options.file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return fail("{}: cannot open: {}", options.file.string(), std::strerror(errno));
  const auto taken = [&] {
    return fail("{}: another run is making these features", options.file.string());
  };
  if (!lock(fd)) return taken();
  nlohmann::ordered_json header = {{"dspark_features", kVersion}, {"key", options.key},
                                   {"taps", options.taps},        {"hidden", engine.info().hidden},
                                   {"bits", options.bits},        {"rows", rows}};
  const std::string line = header.dump() + "\n";
  CHECK(line.size() <= kMostHeader, "header of {} bytes", line.size());
  offsets.assign(static_cast<size_t>(rows), 0);
  end = line.size();
  std::string stored(line.size(), '\0');
  const ssize_t got = ::pread(fd, stored.data(), stored.size(), 0);
  if (got == 0)
    DSPARK_RETURN_IF_ERROR(
        whole(::pwrite(fd, line.data(), line.size(), 0), line.size(), "write", options.file));
  else if (stored != line)
    return fail("{}: features of another run: its first line is not {}", options.file.string(),
                header.dump());
  DSPARK_RETURN_IF_ERROR(index(rows));
  // Once nothing is to be written other runs may read too; until then there are none.
  if (::flock(fd, (cached == rows ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) return taken();
  return {};
}

Status FeatureStore::Impl::index(int64_t rows) {
  struct stat status {};
  if (::fstat(fd, &status) != 0)
    return fail("{}: cannot look: {}", options.file.string(), std::strerror(errno));
  const auto size = static_cast<uint64_t>(status.st_size);
  RecordHead head;
  while (end + sizeof(head) <= size) {
    DSPARK_RETURN_IF_ERROR(whole(::pread(fd, &head, sizeof(head), static_cast<off_t>(end)),
                                 sizeof(head), "read", options.file));
    if (head.mark != kMark || head.row < 0 || head.row >= rows) break;
    if (head.bytes > size - end - sizeof(head)) break;
    if (offsets[static_cast<size_t>(head.row)] == 0) ++cached;
    offsets[static_cast<size_t>(head.row)] = end;
    end += sizeof(head) + head.bytes;
  }
  if (end < size && ::ftruncate(fd, static_cast<off_t>(end)) != 0)
    return fail("{}: cannot drop a torn record: {}", options.file.string(), std::strerror(errno));
  return {};
}

Status FeatureStore::Impl::append(int64_t row, const Sample& sample) {
  std::string bytes(sizeof(RecordHead), '\0');
  const int64_t hidden = engine.info().hidden;
  put(sample.features.view({sample.tokens(), -1, hidden}), options.bits, bytes);
  put(sample.last_hidden, options.bits, bytes);
  bytes.append(static_cast<const char*>(sample.log_sum.data_ptr()), sample.log_sum.nbytes());
  RecordHead head;
  head.tokens = static_cast<uint32_t>(sample.tokens()), head.row = row;
  head.bytes = bytes.size() - sizeof(head);
  head.checksum = XXH3_64bits(bytes.data() + sizeof(head), head.bytes);
  std::memcpy(bytes.data(), &head, sizeof(head));
  const Status written = whole(::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(end)),
                               bytes.size(), "write", options.file);
  DSPARK_RETURN_IF_ERROR(written);
  offsets[static_cast<size_t>(row)] = end;
  end += bytes.size(), ++cached;
  return {};
}

Result<Sample> FeatureStore::Impl::load(int64_t row, const learn::Example& example) {
  const uint64_t at = offsets[static_cast<size_t>(row)];
  RecordHead head;
  DSPARK_RETURN_IF_ERROR(whole(::pread(fd, &head, sizeof(head), static_cast<off_t>(at)),
                               sizeof(head), "read", options.file));
  const auto tokens = static_cast<int64_t>(example.ids.size()),
             taps = static_cast<int64_t>(options.taps.size());
  const int64_t hidden = engine.info().hidden;
  const auto wanted = static_cast<uint64_t>(
      static_cast<double>(tokens) *
      FeatureStore::bytes_a_token(static_cast<int>(taps), static_cast<int>(hidden), options.bits));
  std::string bytes(head.bytes == wanted ? head.bytes : 0, '\0');
  if (bytes.empty())
    return fail("{}: record of conversation {}: {} bytes for {} tokens, expected {}",
                options.file.string(), row, head.bytes, tokens, wanted);
  DSPARK_RETURN_IF_ERROR(
      whole(::pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(at + sizeof(head))),
            bytes.size(), "read", options.file));
  if (XXH3_64bits(bytes.data(), bytes.size()) != head.checksum)
    return fail("{}: record of conversation {}: the checksum is wrong", options.file.string(), row);
  Cursor cursor(bytes);
  Sample sample{example.ids, example.loss_mask};
  sample.features = cursor.matrix({tokens, taps, hidden}, options.bits).view({tokens, -1});
  sample.last_hidden = cursor.matrix({tokens, hidden}, options.bits);
  sample.log_sum = cursor.take({tokens}, torch::kFloat32).clone();
  return sample;
}

FeatureStore::FeatureStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FeatureStore::FeatureStore(FeatureStore&&) noexcept = default;
FeatureStore& FeatureStore::operator=(FeatureStore&&) noexcept = default;
FeatureStore::~FeatureStore() = default;
int64_t FeatureStore::cached() const { return impl_->cached; }
double FeatureStore::target_seconds() const { return impl_->seconds; }

double FeatureStore::bytes_a_token(int taps, int hidden, int bits) {
  const int rows = taps + 1;
  return rows * (bits == 16 ? 2.0 * hidden : hidden + 4.0) + 4.0;
}

Result<FeatureStore> FeatureStore::open(FeatureOptions options, engine::Engine& engine,
                                        int64_t rows) {
  auto impl = std::make_unique<Impl>(std::move(options), engine);
  if (!impl->options.file.empty()) DSPARK_RETURN_IF_ERROR(impl->open_file(rows));
  return FeatureStore(std::move(impl));
}

Result<Sample> FeatureStore::get(int64_t row, const learn::Example& example) {
  const bool keeps = impl_->fd >= 0;
  if (keeps && impl_->offsets[static_cast<size_t>(row)] != 0) return impl_->load(row, example);
  const auto start = std::chrono::steady_clock::now();
  DSPARK_TRY(Sample sample, read_sample(impl_->engine, example, impl_->options.taps));
  impl_->seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!keeps) return sample;
  DSPARK_RETURN_IF_ERROR(impl_->append(row, sample));
  return impl_->load(row, example);  // as every later visit reads it
}

}  // namespace dspark::train
