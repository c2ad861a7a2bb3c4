#include "train/learners.h"

#include <dlfcn.h>
#include <torch/torch.h>

#include <exception>
#include <thread>

namespace dspark::train {
namespace {

// OpenBLAS has one pool for the whole process: callers that come side by side bring their own
// threads. Where libtorch multiplies with something else there is nothing to set.
void set_blas_threads(int threads) {
  using Set = void (*)(int);
  static const auto set = reinterpret_cast<Set>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
  if (set != nullptr) set(threads);
}

}  // namespace

struct Learners::Learner {
  Parameters parameters;  // the same values, gradients of its own
  std::unique_ptr<Task> task;
  std::unique_ptr<Metrics> metrics;
};

Learners::Learners(const Recipe& recipe, const draft::DrafterConfig& config,
                   const Parameters& parameters, const FrozenTables& tables, Precision precision,
                   int count, int threads)
    : parameters_(parameters), threads_(std::max(1, threads / count)) {
  CHECK(count >= 1, "{} learners", count);
  torch::get_num_threads();  // of this thread, before others have theirs
  if (count > 1) set_blas_threads(1);
  for (int i = 0; i < count; ++i) {
    auto& learner = learners_.emplace_back(
        std::make_unique<Learner>(Learner{parameters.sharing_values(), nullptr, nullptr}));
    learner->task = make_task(recipe, config, learner->parameters, tables, precision);
  }
}

Learners::~Learners() = default;

std::unique_ptr<Metrics> Learners::new_metrics() const {
  return learners_.front()->task->new_metrics();
}

template <class Act>
void Learners::each(size_t parts, Act act) {
  CHECK(parts <= learners_.size(), "{} parts for {} learners", parts, learners_.size());
  if (learners_.size() == 1) {
    if (parts > 0) act(*learners_.front(), size_t{0});
    return;
  }
  std::vector<std::exception_ptr> faults(parts);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < parts; ++i)
    threads.emplace_back([&, i] {
      torch::set_num_threads(threads_);  // of this thread
      try {
        act(*learners_[i], i);
      } catch (...) {
        faults[i] = std::current_exception();
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& fault : faults)
    if (fault) std::rethrow_exception(fault);
}

void Learners::learn(std::span<const MicroBatch> batches, double scale, Group& group,
                     Metrics& metrics) {
  CHECK(batches.size() <= 1 || group.size() == 1, "processes meet in one order");
  each(batches.size(), [&](Learner& learner, size_t i) {
    std::vector<const Sample*> list;
    for (const Sample& sample : batches[i].samples) list.push_back(&sample);
    learner.metrics = learner.task->new_metrics();
    learner.task->learn(list, batches[i].visit, scale, group, *learner.metrics);
  });
  for (size_t i = 0; i < batches.size(); ++i) {
    metrics.add(*learners_[i]->metrics);
    for (const std::string& name : parameters_.names()) {
      torch::Tensor& own = learners_[i]->parameters[name].mutable_grad();
      if (!own.defined()) continue;
      torch::Tensor& sum = parameters_[name].mutable_grad();
      sum = sum.defined() ? sum.add_(own) : own;
      own = torch::Tensor();
    }
  }
}

void Learners::measure(std::span<const Sample> samples, Metrics& metrics) {
  const size_t parts = std::min(samples.size(), learners_.size());
  each(parts, [&](Learner& learner, size_t i) {
    learner.metrics = learner.task->new_metrics();
    for (size_t s = i; s < samples.size(); s += parts) {
      const Sample* list[] = {&samples[s]};
      learner.task->measure(list, *learner.metrics);
    }
  });
  for (size_t i = 0; i < parts; ++i) metrics.add(*learners_[i]->metrics);
}

}  // namespace dspark::train
