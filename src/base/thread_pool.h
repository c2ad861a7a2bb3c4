// The engine's threads. A job runs on all of them at once and meets at barriers; between jobs, and
// at barriers that take long, a thread spins for about 50 us and then sleeps on a futex. Every
// thread runs with round-to-nearest and subnormals kept (the numerics contract), and run() restores
// the caller's mode.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace dspark {

// CPUs that this process may use (its affinity mask).
int available_cpus();

class ThreadPool {
 public:
  // threads includes the caller of run(); 0 means available_cpus(). pin: thread i to the i-th CPU
  // of the mask (the caller stays where it is, unpinned).
  explicit ThreadPool(int threads, bool pin = false);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls job(thread) for thread = 0 .. threads() - 1 at the same time; the caller is thread 0. Not
  // reentrant. No allocation.
  template <class Job>
  void run(Job&& job) {
    using Plain = std::remove_reference_t<Job>;
    run_erased([](void* data, int thread) { (*static_cast<Plain*>(data))(thread); },
               const_cast<void*>(static_cast<const void*>(&job)));
  }

  // Inside a job, called by all threads: nobody leaves before everybody has come.
  void barrier();

 private:
  using Function = void (*)(void*, int);
  void run_erased(Function function, void* data);
  void worker(int thread);

  const int threads_;
  Function function_ = nullptr;
  void* data_ = nullptr;
  alignas(64) std::atomic<uint32_t> epoch_{0};    // number of jobs started
  alignas(64) std::atomic<uint32_t> arrived_{0};  // threads at the barrier
  alignas(64) std::atomic<uint32_t> phase_{0};    // barriers passed
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

// [begin, end) of part `index` of `parts` nearly equal parts of n items.
struct Range {
  int64_t begin, end;
};
inline Range split_range(int64_t n, int parts, int index) {
  return {n * index / parts, n * (index + 1) / parts};
}

// Round-to-nearest with subnormals for the life of the object; then the mode found before.
class FloatMode {
 public:
  FloatMode();
  ~FloatMode();

 private:
  unsigned saved_;
};

}  // namespace dspark
