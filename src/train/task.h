// What a kind of drafter does with conversations in training: adds gradients, and measures.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <span>

#include "train/blocks.h"
#include "train/decoder.h"
#include "train/group.h"
#include "train/parameters.h"
#include "train/recipe.h"

namespace dspark::train {

// Sums over micro-steps, and what they come to.
class Metrics {
 public:
  virtual ~Metrics() = default;
  virtual nlohmann::ordered_json json() const = 0;  // names as DeepSpec logs them (spec D.8)
  virtual double loss() const = 0;
  virtual double tau() const = 0;              // expected accept length at temperature 1, rejection
  virtual double positions() const = 0;        // supervised slots
  virtual void add(const Metrics& other) = 0;  // of the same task
};

class Task {
 public:
  virtual ~Task() = default;
  virtual std::unique_ptr<Metrics> new_metrics() const = 0;
  // Adds the gradients of the samples' loss, times scale, and the metrics. visit: the number of the
  // first sample's visit, of which its anchors are a function. The denominator is that of all
  // processes of the group.
  virtual void learn(std::span<const Sample* const> samples, uint64_t visit, double scale,
                     Group& group, Metrics& metrics) = 0;
  // The metrics alone, of all valid anchors' first `anchors`, always the same.
  virtual void measure(std::span<const Sample* const> samples, Metrics& metrics) = 0;
};

// parameters and tables outlive the task.
std::unique_ptr<Task> make_task(const Recipe& recipe, const draft::DrafterConfig& config,
                                const Parameters& parameters, const FrozenTables& tables,
                                Precision precision);

}  // namespace dspark::train
