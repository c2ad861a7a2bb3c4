// What every room relies on: real functions against the C library, threads, files, 16-bit floats.
#include "base/base.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <immintrin.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "tensor/half.h"

namespace dspark {
namespace {

namespace fs = std::filesystem;

// ---- real functions ----

double relative_error(double have, long double want) {
  return static_cast<double>(std::abs((have - want) / want));
}

TEST(RealMath, Exp) {
  std::mt19937_64 random(1);
  double worst = 0;
  for (double reach : {1e-6, 0.5, 2.0, 30.0, 700.0}) {
    std::uniform_real_distribution<double> uniform(-reach, reach);
    for (int i = 0; i < 40000; ++i) {
      const double x = uniform(random);
      worst = std::max(worst, relative_error(real_exp(x), expl(x)));
    }
  }
  EXPECT_LT(worst, 4e-15);
  EXPECT_EQ(real_exp(0.0), 1.0);
  EXPECT_EQ(real_exp(-0.0), 1.0);
  EXPECT_EQ(real_exp(-746.0), 0.0);
  EXPECT_EQ(real_exp(-std::numeric_limits<double>::infinity()), 0.0);
  EXPECT_EQ(real_exp(710.0), std::numeric_limits<double>::infinity());
  EXPECT_EQ(real_exp(std::numeric_limits<double>::infinity()),
            std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(real_exp(std::numeric_limits<double>::quiet_NaN())));
  // Subnormal results: within a unit of their last place.
  for (double x = -745; x < -708.5; x += 0.01)
    EXPECT_NEAR(real_exp(x), std::exp(x), std::exp(x) * 4e-15 + 4.95e-324) << x;
}

TEST(RealMath, Log) {
  std::mt19937_64 random(2);
  double worst = 0;
  for (double reach : {1e-3, 0.3, 10.0, 700.0}) {
    std::uniform_real_distribution<double> uniform(-reach, reach);
    for (int i = 0; i < 40000; ++i) {
      const double x = std::exp(uniform(random));
      if (x != 1.0) worst = std::max(worst, relative_error(real_log(x), logl(x)));
    }
  }
  EXPECT_LT(worst, 4e-15);
  EXPECT_EQ(real_log(1.0), 0.0);
  EXPECT_EQ(real_log(0.0), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(real_log(-1.0)));
  EXPECT_TRUE(std::isnan(real_log(std::numeric_limits<double>::quiet_NaN())));
  for (double x : {std::numeric_limits<double>::min(), std::numeric_limits<double>::max(),
                   std::nextafter(1.0, 0.0), std::nextafter(1.0, 2.0)})
    EXPECT_LT(relative_error(real_log(x), logl(x)), 4e-15) << x;
}

TEST(RealMath, SineAndCosine) {
  std::mt19937_64 random(3);
  double worst = 0;
  const auto look_at = [&](double x) {
    double sine, cosine;
    real_sin_cos(x, &sine, &cosine);
    worst = std::max({worst, std::abs(static_cast<double>(sine - sinl(x))),
                      std::abs(static_cast<double>(cosine - cosl(x)))});
  };
  for (double reach : {1e-8, 0.8, 7.0, 1000.0, 1e5}) {
    std::uniform_real_distribution<double> uniform(-reach, reach);
    for (int i = 0; i < 40000; ++i) look_at(uniform(random));
  }
  for (int i = 0; i < 131072; ++i) look_at(i);  // the first frequency of a rotary embedding
  for (int i = -1000; i <= 1000; ++i) look_at(i * 0.78539816339744830962);
  EXPECT_LT(worst, 1.5e-15);
  double sine, cosine;
  real_sin_cos(0, &sine, &cosine);
  EXPECT_EQ(sine, 0.0);
  EXPECT_EQ(cosine, 1.0);
}

TEST(RealMath, TheSameBitsInEveryRoundingThatTheHostSet) {
  // The engine's entry points set round-to-nearest, whatever the host had.
  std::vector<double> plain, under_host_mode;
  const auto fill = [](std::vector<double>& out) {
    for (int i = 1; i < 1000; ++i) {
      double sine, cosine;
      real_sin_cos(i * 0.37, &sine, &cosine);
      out.insert(out.end(), {real_exp(-i * 0.11), real_log(i * 0.13), sine, cosine});
    }
  };
  fill(plain);
  const unsigned host = _mm_getcsr();
  _mm_setcsr(0x1f80 | 0x6000 | 0x8040);  // towards zero, FTZ and DAZ
  {
    const FloatMode mode;
    fill(under_host_mode);
  }
  EXPECT_EQ(_mm_getcsr() & 0xffc0u, 0x1f80u | 0x6000u | 0x8040u);
  _mm_setcsr(host);
  EXPECT_EQ(plain, under_host_mode);
}

// ---- threads ----

TEST(ThreadPool, RunsEveryThreadOnce) {
  for (int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    std::vector<int> calls(static_cast<size_t>(threads), 0);
    std::vector<std::thread::id> ids(static_cast<size_t>(threads));
    for (int repeat = 0; repeat < 500; ++repeat)
      pool.run([&](int thread) {
        ++calls[static_cast<size_t>(thread)];
        ids[static_cast<size_t>(thread)] = std::this_thread::get_id();
      });
    for (int count : calls) EXPECT_EQ(count, 500);
    EXPECT_EQ(ids[0], std::this_thread::get_id());
    for (size_t a = 0; a < ids.size(); ++a)
      for (size_t b = 0; b < a; ++b) EXPECT_NE(ids[a], ids[b]);
  }
}

TEST(ThreadPool, NobodyLeavesABarrierEarly) {
  constexpr int kBarriers = 2000;
  for (int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    // Plain memory: the barrier alone orders these writes and reads.
    std::vector<int> at(static_cast<size_t>(threads), 0);
    std::atomic<int> faults{0};
    pool.run([&](int thread) {
      for (int i = 1; i <= kBarriers; ++i) {
        at[static_cast<size_t>(thread)] = i;
        pool.barrier();
        for (int other : at) faults += other != i;
        pool.barrier();
      }
    });
    EXPECT_EQ(faults.load(), 0) << threads;
  }
}

TEST(ThreadPool, WaitersSleepAndWake) {
  // Threads that arrive long before the last one have gone to sleep and are woken; asleep they use
  // no processor time.
  ThreadPool pool(3);
  const std::clock_t before = std::clock();
  for (int repeat = 0; repeat < 3; ++repeat) {
    int written = 0, seen = 0;
    pool.run([&](int thread) {
      if (thread == repeat) {
        std::this_thread::sleep_for(std::chrono::milliseconds(60));
        written = repeat + 1;
      }
      pool.barrier();
      if (thread == 0) seen = written;
    });
    EXPECT_EQ(seen, repeat + 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(60));  // no job: the workers sleep too
  }
  const double used_s = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(used_s, 0.18);  // of 0.36 s; three spinning threads would use up to 1 s
}

TEST(ThreadPool, StartsAndStopsManyTimes) {
  for (int i = 0; i < 100; ++i) {
    ThreadPool idle(3);  // never used
    ThreadPool pool(2 + i % 3, i % 2 == 1);
    std::atomic<int> sum{0};
    pool.run([&](int thread) { sum += thread + 1; });
    EXPECT_EQ(sum.load(), pool.threads() * (pool.threads() + 1) / 2);
  }
}

TEST(ThreadPool, FloatModeOfJobsAndOfTheCaller) {
  ThreadPool pool(3);
  const unsigned host = _mm_getcsr();
  const unsigned odd = 0x1f80 | 0x2000 | 0x8040;  // downwards, FTZ and DAZ
  _mm_setcsr(odd);
  std::vector<unsigned> modes(3);
  pool.run([&](int thread) { modes[static_cast<size_t>(thread)] = _mm_getcsr() & 0xffc0u; });
  const unsigned after = _mm_getcsr() & 0xffc0u;
  _mm_setcsr(host);
  EXPECT_EQ(modes, std::vector<unsigned>(3, 0x1f80u));
  EXPECT_EQ(after, odd);
}

TEST(ThreadPool, DefaultIsTheAffinityMask) {
  ThreadPool pool(0);
  EXPECT_EQ(pool.threads(), available_cpus());
  EXPECT_GE(available_cpus(), 1);
}

TEST(SplitRange, CoversEveryItemOnceAndEvenly) {
  for (int64_t n : {0, 1, 2, 7, 100, 49152})
    for (int parts : {1, 2, 3, 16}) {
      int64_t next = 0;
      for (int i = 0; i < parts; ++i) {
        const Range range = split_range(n, parts, i);
        EXPECT_EQ(range.begin, next);
        EXPECT_GE(range.end - range.begin, n / parts);
        EXPECT_LE(range.end - range.begin, n / parts + 1);
        next = range.end;
      }
      EXPECT_EQ(next, n);
    }
}

// ---- files ----

class Files : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "base_test.XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path path(const char* name) const { return folder_ / name; }
  void put(const char* name, const std::string& content) const {
    std::ofstream(path(name), std::ios::binary) << content;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_))
      found.push_back(entry.path().filename().string());
    return found;
  }
  fs::path folder_;
};

TEST_F(Files, AtomicFileAppearsOnCommitAlone) {
  put("f", "old");
  {
    AtomicFile file = AtomicFile::create(path("f")).take();
    ASSERT_TRUE(file.write("ne", 2).ok());
    EXPECT_EQ(read_file(path("f"), 100).take(), "old");
    AtomicFile moved = std::move(file);
    ASSERT_TRUE(moved.write("w", 1).ok());
    EXPECT_EQ(read_file(path("f"), 100).take(), "old");
    ASSERT_TRUE(moved.commit().ok());
  }
  EXPECT_EQ(read_file(path("f"), 100).take(), "new");
  EXPECT_EQ(names(), std::vector<std::string>{"f"});
}

TEST_F(Files, AtomicFileWithoutCommitLeavesNothing) {
  {
    AtomicFile file = AtomicFile::create(path("f")).take();
    ASSERT_TRUE(file.write("abc", 3).ok());
    EXPECT_EQ(names().size(), 1u);
  }
  EXPECT_TRUE(names().empty());
}

TEST_F(Files, AtomicFileHonoursTheUmask) {
  const mode_t saved = ::umask(027);
  ASSERT_TRUE(write_file_atomically(path("f"), "x").ok());
  ::umask(saved);
  struct stat info {};
  ASSERT_EQ(::stat(path("f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

TEST_F(Files, AtomicFileErrors) {
  EXPECT_NE(AtomicFile::create(path("none/f")).message().find("none/f"), std::string::npos);
  // Onto a folder: the rename fails, and nothing is left.
  fs::create_directory(path("folder"));
  put("folder/inside", "");
  EXPECT_NE(write_file_atomically(path("folder"), "x").message().find("cannot rename"),
            std::string::npos);
  EXPECT_EQ(names(), std::vector<std::string>{"folder"});
}

TEST_F(Files, AtomicFileOnAFullDisk) {
  // A limit on the size of files stands in for the disk, in a process of its own.
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const Status status = write_file_atomically(path("f"), std::string(5000, 'x'));
    _exit(!status.ok() && status.message().find("cannot write") != std::string::npos ? 0 : 1);
  }
  int result = 0;
  ASSERT_EQ(waitpid(child, &result, 0), child);
  EXPECT_EQ(result, 0);
  EXPECT_TRUE(names().empty());
}

TEST_F(Files, ReadFile) {
  std::string content(200000, '\0');
  std::mt19937 random(1);
  for (char& c : content) c = static_cast<char>(random());
  put("f", content);
  EXPECT_EQ(read_file(path("f"), content.size()).take(), content);
  EXPECT_NE(read_file(path("f"), content.size() - 1).message().find("limit of 199999"),
            std::string::npos);
  EXPECT_NE(read_file(path("none"), 1).message().find("none: cannot open"), std::string::npos);
  EXPECT_NE(read_file(folder_, 1).message().find("not a regular file"), std::string::npos);
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);  // must not wait for a writer
  EXPECT_NE(read_file(path("pipe"), 1).message().find("not a regular file"), std::string::npos);
  put("empty", "");
  EXPECT_EQ(read_file(path("empty"), 0).take(), "");
}

TEST_F(Files, MappedFile) {
  std::string content(3 * 4096 + 17, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7);
  put("f", content);
  MappedFile file = MappedFile::open(path("f")).take();
  ASSERT_EQ(file.size(), content.size());
  EXPECT_EQ(file.path(), path("f"));
  EXPECT_EQ(std::memcmp(file.data(), content.data(), content.size()), 0);
  // Released pages, whole or in part, read the same again.
  file.release(0, content.size());
  file.release(5000, 10);
  file.release(4096, 0);
  file.release(8000, content.size() - 8000);
  EXPECT_EQ(std::memcmp(file.data(), content.data(), content.size()), 0);
  MappedFile moved = std::move(file);
  put("g", "other");
  MappedFile assigned = MappedFile::open(path("g")).take();
  assigned = std::move(moved);
  ASSERT_EQ(assigned.size(), content.size());
  EXPECT_EQ(std::memcmp(assigned.data(), content.data(), content.size()), 0);
}

TEST_F(Files, MappedFileOfOddThings) {
  EXPECT_NE(MappedFile::open(path("none")).message().find("none"), std::string::npos);
  EXPECT_FALSE(MappedFile::open(folder_).ok());
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_FALSE(MappedFile::open(path("pipe")).ok());
  put("empty", "");
  EXPECT_EQ(MappedFile::open(path("empty")).take().size(), 0u);
}

// ---- 16-bit floats ----

uint32_t bits_of(float value) { return std::bit_cast<uint32_t>(value); }
bool is_nan(uint16_t half) { return (half & 0x7fffu) > 0x7c00u; }

// A half's value by its definition, exact in double.
double plain_value(uint16_t half) {
  const int exponent = half >> 10 & 0x1f, mantissa = half & 0x3ff;
  const double magnitude = exponent == 0x1f ? std::numeric_limits<double>::infinity()
                           : exponent == 0  ? std::ldexp(mantissa, -24)
                                            : std::ldexp(1024 + mantissa, exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

TEST(Half, EveryValueWidensExactlyAndComesBack) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto half = static_cast<uint16_t>(i);
    const float wide = f16_to_f32(half);
    if (is_nan(half)) {
      EXPECT_TRUE(std::isnan(wide));
      EXPECT_EQ(f32_to_f16(wide), half | 0x200);  // quiet
    } else {
      EXPECT_EQ(static_cast<double>(wide), plain_value(half));
      EXPECT_EQ(std::signbit(wide), (half & 0x8000) != 0);
      EXPECT_EQ(f32_to_f16(wide), half);
    }
    const float brain = bf16_to_f32(half);
    EXPECT_EQ(bits_of(brain), i << 16);
    EXPECT_EQ(f32_to_bf16(brain), std::isnan(brain) ? half | 0x40u : half);
  }
}

TEST(Half, RoundsToTheNearestAndTiesToEven) {
  // Around every midpoint of neighbours; beyond the largest value the next one would be 65536.
  for (uint32_t i = 0; i < 0x7c00; ++i) {
    const auto low = static_cast<uint16_t>(i), high = static_cast<uint16_t>(i + 1);
    const double above = i == 0x7bff ? 65536.0 : plain_value(high);
    const auto middle = static_cast<float>((plain_value(low) + above) / 2);  // exact
    const uint16_t even = i % 2 == 0 ? low : high;
    EXPECT_EQ(f32_to_f16(middle), even) << i;
    EXPECT_EQ(f32_to_f16(std::nextafter(middle, 0.0f)), low) << i;
    EXPECT_EQ(f32_to_f16(std::nextafter(middle, 1e9f)), high) << i;
    EXPECT_EQ(f32_to_f16(-middle), even | 0x8000) << i;
  }
  for (uint32_t i = 0; i < 0x7f80; ++i) {
    const uint32_t middle = i << 16 | 0x8000;
    EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(middle)), i + i % 2) << i;
    EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(middle - 1)), i) << i;
    EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(middle + 1)), i + 1) << i;
  }
}

__attribute__((target("f16c"))) uint16_t hardware_f32_to_f16(float value) {
  return static_cast<uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT));
}
__attribute__((target("f16c"))) float hardware_f16_to_f32(uint16_t half) { return _cvtsh_ss(half); }

TEST(Half, EqualsTheHardware) {
  if (!__builtin_cpu_supports("f16c")) GTEST_SKIP() << "no f16c";
  for (uint32_t i = 0; i < 65536; ++i)
    EXPECT_EQ(bits_of(f16_to_f32(static_cast<uint16_t>(i))),
              bits_of(hardware_f16_to_f32(static_cast<uint16_t>(i))));
  // Every 331st bit pattern, NaNs included: 13 million.
  uint64_t different = 0;
  for (uint64_t i = 0; i < (uint64_t{1} << 32); i += 331) {
    const float value = std::bit_cast<float>(static_cast<uint32_t>(i));
    different += f32_to_f16(value) != hardware_f32_to_f16(value);
  }
  EXPECT_EQ(different, 0u);
}

}  // namespace
}  // namespace dspark
