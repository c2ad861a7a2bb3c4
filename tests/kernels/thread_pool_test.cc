// Threads, their float mode, and how work is shared out.
#include "base/base.h"

#include <gtest/gtest.h>
#include <immintrin.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <thread>
#include <vector>

namespace dspark {
namespace {

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

}  // namespace
}  // namespace dspark
