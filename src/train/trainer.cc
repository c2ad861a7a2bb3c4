#include "train/trainer.h"

#include <malloc.h>
#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <thread>

#include "train/corpus.h"
#include "train/event_file.h"
#include "train/feature_store.h"
#include "train/learners.h"
#include "train/markov_start.h"
#include "train/plan.h"
#include "train/run_files.h"
#include "train/schedule.h"
#include "train/start.h"
#include "train/state.h"

namespace dspark::train {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Tensors of a few MB come and go all the time: taken from the system and given back each time, the
// page faults cost as much as the arithmetic.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
}

bool has_fast_bfloat16() { return __builtin_cpu_supports("avx512bf16") != 0; }

Precision precision_of(const Recipe& recipe) {
  if (recipe.precision == "auto")
    return has_fast_bfloat16() ? Precision::kBfloat16 : Precision::kFloat32;
  return recipe.precision == "bf16" ? Precision::kBfloat16 : Precision::kFloat32;
}

class Run {
 public:
  Run(const Recipe& recipe, const RunOptions& options, Group& group)
      : recipe_(recipe), options_(options), group_(group) {}

  Status prepare();
  Result<RunResult> train();

 private:
  Status start_parameters();
  Status open_features(const std::string& target_digest);
  Result<MicroBatch> micro_batch(int64_t round);
  Status step();
  Status evaluate();
  Status checkpoint();
  Result<Sample> sample(int64_t example) {
    return features_->get(example, corpus_.examples[static_cast<size_t>(example)]);
  }
  int64_t example_of(int64_t visit) const;
  bool must_stop() { return group_.sum(options_.stop && options_.stop() ? 1.0 : 0.0) > 0; }
  std::string note(double step_seconds) const;

  const Recipe& recipe_;
  const RunOptions& options_;
  Group& group_;
  std::unique_ptr<engine::Engine> engine_;
  Corpus corpus_;
  draft::DrafterConfig config_;
  std::optional<Parameters> parameters_;
  FrozenTables tables_;
  std::optional<FeatureStore> features_;
  std::unique_ptr<Learners> learners_;
  std::unique_ptr<torch::optim::AdamW> optimiser_;
  std::unique_ptr<Metrics> metrics_;  // since the last logged row
  std::optional<RunFiles> files_;
  std::optional<EventFile> events_;  // of the leading process
  Progress progress_;
  StateKey key_;
  int64_t total_steps_ = 0, steps_an_epoch_ = 0;
  mutable std::vector<int64_t> order_;
  mutable int64_t order_epoch_ = -1;
  double learn_seconds_ = 0, optimise_seconds_ = 0;
  double grad_norm_ = 0, held_loss_ = 0, held_tau_ = 0;
  bool stopped_ = false;
};

Status Run::prepare() {
  keep_freed_memory();
  files_.emplace(options_.folder);
  DSPARK_RETURN_IF_ERROR(files_->begin(to_toml(recipe_), options_.fresh));
  engine::Options engine_options;
  engine_options.threads = options_.threads;
  engine_options.max_running = 1;
  engine_options.context = recipe_.max_length;
  DSPARK_TRY(engine_, engine::Engine::create(options_.model, engine_options));
  DSPARK_TRY(corpus_, read_corpus(recipe_, engine_->tokenizer(), engine_->info().vocab));
  learn::TokenCounts counts(engine_->info().vocab);
  for (const int64_t e : corpus_.trained) {
    const learn::Example& example = corpus_.examples[static_cast<size_t>(e)];
    DSPARK_RETURN_IF_ERROR(counts.add(example.ids, example.loss_mask));
  }
  DSPARK_TRY(config_, plan_drafter(recipe_, options_.model, engine_->tokenizer(), counts));
  DSPARK_RETURN_IF_ERROR(start_parameters());
  DSPARK_TRY(tables_, frozen_tables(config_, options_.model));
  DSPARK_TRY(const std::string target, learn::weights_digest(options_.model));
  DSPARK_RETURN_IF_ERROR(open_features(target));
  const int64_t rounds = recipe_.batch / (recipe_.micro_batch * group_.size());
  const int cpus = torch::get_num_threads();
  const int at_once = group_.size() > 1 ? 1 : static_cast<int>(std::min<int64_t>(rounds, cpus));
  learners_ = std::make_unique<Learners>(recipe_, config_, *parameters_, tables_,
                                         precision_of(recipe_), at_once, cpus);
  optimiser_ = std::make_unique<torch::optim::AdamW>(
      parameters_->trained(),
      torch::optim::AdamWOptions(recipe_.learning_rate).weight_decay(recipe_.weight_decay));

  steps_an_epoch_ = static_cast<int64_t>(corpus_.trained.size()) / recipe_.batch;
  if (steps_an_epoch_ < 1)
    return fail("{} conversations are fewer than optimiser.batch, {}", corpus_.trained.size(),
                recipe_.batch);
  total_steps_ = recipe_.steps > 0
                     ? recipe_.steps
                     : std::max<int64_t>(
                           1, std::llround(recipe_.epochs * static_cast<double>(steps_an_epoch_)));
  key_ = {to_toml(recipe_), corpus_.digest,
          fmt::format("{}, {} threads, {} processes", engine_->info().isa, torch::get_num_threads(),
                      group_.size())};
  std::string note;
  DSPARK_TRY(const bool resumed,
             load_state(files_->state(), *parameters_, *optimiser_, progress_, key_, &note));
  if (!note.empty()) log_warning("{}", note);
  if (group_.leads()) {
    DSPARK_RETURN_IF_ERROR(files_->claim(to_toml(recipe_)));
    DSPARK_RETURN_IF_ERROR(files_->cut_metrics(progress_.steps));
    DSPARK_TRY(events_, EventFile::create(options_.folder / "events"));
  }
  log_info("{}: {} parameters; {} conversations, {} held back; {} steps of {}{}", recipe_.kind,
           parameters_->trained_values(), corpus_.trained.size(), corpus_.held_back.size(),
           total_steps_, recipe_.batch,
           resumed ? fmt::format(", from step {}", progress_.steps) : std::string());
  metrics_ = learners_->new_metrics();
  return {};
}

// Of a run that goes on they come from its state.
Status Run::start_parameters() {
  if (std::filesystem::exists(files_->state())) {
    parameters_ = Parameters::fresh(config_, 0);
    return {};
  }
  DSPARK_TRY(parameters_, starting_parameters(recipe_, config_, options_.model));
  const bool bigrams = config_.markov_rank > 0 && config_.markov_head != draft::MarkovHead::kRnn;
  if (recipe_.start != "target" || !bigrams) return {};
  const BigramFit fit =
      start_markov_head(corpus_, config_, static_cast<uint64_t>(recipe_.seed), *parameters_);
  log_info("the Markov head starts as bigrams: {:.2f} nats a token of {:.0f}, {:.2f} without",
           fit.bigram_ce, fit.pairs, fit.unigram_ce);
  return {};
}

Status Run::open_features(const std::string& target_digest) {
  FeatureOptions options{{},
                         static_cast<int>(recipe_.feature_bits),
                         config_.target_layer_ids,
                         target_digest + ":" + corpus_.digest};
  if (recipe_.features == "cache") {
    options.file = options_.features.empty() ? options_.folder / "features.bin" : options_.features;
    if (group_.size() > 1) options.file += fmt::format(".{}", group_.rank());
    double tokens = 0;
    for (const learn::Example& example : corpus_.examples)
      tokens += static_cast<double>(example.ids.size());
    const double bytes =
        tokens * FeatureStore::bytes_a_token(config_.taps(), config_.decoder.hidden, options.bits);
    DSPARK_RETURN_IF_ERROR(files_->check_space(options.file, bytes));
  }
  DSPARK_TRY(features_, FeatureStore::open(std::move(options), *engine_,
                                           static_cast<int64_t>(corpus_.examples.size())));
  return {};
}

// Which conversation a visit sees: epochs are permutations, cut to whole steps.
int64_t Run::example_of(int64_t visit) const {
  const int64_t an_epoch = steps_an_epoch_ * recipe_.batch, epoch = visit / an_epoch;
  if (epoch != order_epoch_) {
    order_ = learn::epoch_order(static_cast<int64_t>(corpus_.trained.size()), epoch);
    order_epoch_ = epoch;
  }
  return corpus_.trained[static_cast<size_t>(order_[static_cast<size_t>(visit % an_epoch)])];
}

// Micro-batch `round` of the next step, of this process.
Result<MicroBatch> Run::micro_batch(int64_t round) {
  const int64_t micro = recipe_.micro_batch;
  const int64_t visit =
      progress_.steps * recipe_.batch + (round * group_.size() + group_.rank()) * micro;
  MicroBatch batch;
  batch.visit = static_cast<uint64_t>(visit);
  for (int64_t i = 0; i < micro; ++i) {
    DSPARK_TRY(Sample next, sample(example_of(visit + i)));
    batch.samples.push_back(std::move(next));
  }
  return batch;
}

Status Run::step() {
  optimiser_->zero_grad();
  const int64_t rounds = recipe_.batch / (recipe_.micro_batch * group_.size());
  const double before = metrics_->positions();
  for (int64_t round = 0; round < rounds;) {
    std::vector<MicroBatch> batches;
    for (; round < rounds && std::ssize(batches) < learners_->count(); ++round) {
      DSPARK_TRY(MicroBatch next, micro_batch(round));
      batches.push_back(std::move(next));
    }
    const auto start = Clock::now();
    learners_->learn(batches, 1.0 / static_cast<double>(rounds), group_, *metrics_);
    learn_seconds_ += seconds_since(start);
    if (must_stop()) {
      stopped_ = true;
      return {};
    }
  }
  const auto start = Clock::now();
  std::vector<torch::Tensor> gradients;
  for (const torch::Tensor& tensor : parameters_->trained()) gradients.push_back(tensor.grad());
  group_.sum(gradients);
  grad_norm_ = torch::nn::utils::clip_grad_norm_(parameters_->trained(), recipe_.clip);
  const double loss = group_.sum(metrics_->loss());
  if (!std::isfinite(grad_norm_) || !std::isfinite(loss))
    return fail(
        "step {}: the loss is {} and its gradient's norm {}; the checkpoint of an earlier "
        "step is kept in {}",
        progress_.steps + 1, metrics_->loss(), grad_norm_, files_->state().string());
  for (auto& parameter_group : optimiser_->param_groups())
    static_cast<torch::optim::AdamWOptions&>(parameter_group.options())
        .lr(learning_rate(recipe_.learning_rate, recipe_.warmup, total_steps_, progress_.steps));
  optimiser_->step();
  progress_.steps += 1;
  progress_.positions += group_.sum(metrics_->positions() - before);
  optimise_seconds_ += seconds_since(start);
  return {};
}

Status Run::evaluate() {
  if (corpus_.held_back.empty()) return {};
  const auto metrics = learners_->new_metrics();
  if (group_.leads()) {
    for (size_t at = 0; at < corpus_.held_back.size();) {
      std::vector<Sample> held;
      for (; at < corpus_.held_back.size() && std::ssize(held) < learners_->count(); ++at) {
        DSPARK_TRY(Sample next, sample(corpus_.held_back[at]));
        held.push_back(std::move(next));
      }
      learners_->measure(held, *metrics);
    }
    held_loss_ = metrics->loss(), held_tau_ = metrics->tau();
    nlohmann::ordered_json row = {{"step", progress_.steps}, {"split", "held_back"}};
    row.update(metrics->json());
    DSPARK_RETURN_IF_ERROR(files_->add_metrics(row));
    DSPARK_RETURN_IF_ERROR(events_->add(progress_.steps, "held_back", row));
  }
  group_.wait();
  return {};
}

Status Run::checkpoint() {
  if (group_.leads()) {
    DSPARK_RETURN_IF_ERROR(draft::write_values(
        config_, files_->drafter(), [&](const std::string& name) -> const float* {
          return parameters_->has(name) ? (*parameters_)[name].data_ptr<float>() : nullptr;
        }));
    // Last: a run killed in between makes the drafter again.
    DSPARK_RETURN_IF_ERROR(save_state(files_->state(), *parameters_, *optimiser_, progress_, key_));
  }
  group_.wait();
  return {};
}

std::string Run::note(double step_seconds) const {
  std::string text = fmt::format("loss {:.3f}, tau {:.2f}", metrics_->loss(), metrics_->tau());
  if (held_tau_ > 0) text += fmt::format(" (held back {:.2f})", held_tau_);
  if (step_seconds > 0)
    text += fmt::format(", {:.0f} positions/s", metrics_->positions() / step_seconds);
  return text;
}

Result<RunResult> Run::train() {
  auto last_checkpoint = Clock::now(), row_start = Clock::now();
  double target_before = features_->target_seconds();
  while (progress_.steps < total_steps_) {
    const auto start = Clock::now();
    DSPARK_RETURN_IF_ERROR(step());
    progress_.seconds += seconds_since(start);
    if (stopped_) break;
    if (group_.leads() && options_.progress)
      options_.progress(static_cast<double>(progress_.steps), static_cast<double>(total_steps_),
                        note(seconds_since(row_start)));
    const bool last = progress_.steps == total_steps_;
    if (progress_.steps % recipe_.log_every == 0 || last) {
      const double seconds = seconds_since(row_start);
      if (group_.leads()) {
        nlohmann::ordered_json row = {{"step", progress_.steps}, {"split", "trained"}};
        row.update(metrics_->json());
        row["lr"] = learning_rate(recipe_.learning_rate, recipe_.warmup, total_steps_,
                                  std::min(progress_.steps, total_steps_ - 1));
        row["grad_norm"] = grad_norm_;
        DSPARK_RETURN_IF_ERROR(files_->add_metrics(row));
        DSPARK_RETURN_IF_ERROR(events_->add(progress_.steps, "train", row));
        DSPARK_RETURN_IF_ERROR(files_->add_timing(
            {{"step", progress_.steps},
             {"seconds", progress_.seconds},
             {"positions", progress_.positions},
             {"positions_per_s", metrics_->positions() / seconds},
             {"target_share", (features_->target_seconds() - target_before) / seconds},
             {"learn_share", learn_seconds_ / seconds},
             {"optimiser_share", optimise_seconds_ / seconds}}));
      }
      metrics_ = learners_->new_metrics();
      malloc_trim(0);  // what fragments between tensors of changing sizes goes back now and then
      row_start = Clock::now(), target_before = features_->target_seconds();
      learn_seconds_ = optimise_seconds_ = 0;
    }
    if (progress_.steps % recipe_.evaluate_every == 0 || last) DSPARK_RETURN_IF_ERROR(evaluate());
    // Where a row of metrics ends, so that a resumed run's next row sums the same steps.
    const bool due = progress_.steps % recipe_.log_every == 0 &&
                     seconds_since(last_checkpoint) > recipe_.checkpoint_minutes * 60;
    if (group_.sum(due ? 1.0 : 0.0) > 0 || last) {
      DSPARK_RETURN_IF_ERROR(checkpoint());
      last_checkpoint = Clock::now();
    }
  }
  // A step that was begun is given up: the state is that of the step before.
  if (stopped_) DSPARK_RETURN_IF_ERROR(checkpoint());
  return RunResult{!stopped_,         progress_.steps, progress_.positions,
                   progress_.seconds, held_loss_,      held_tau_};
}

}  // namespace

Result<RunResult> run_training(const Recipe& recipe, const RunOptions& options) {
  const int cpus =
      options.threads > 0 ? options.threads : static_cast<int>(std::thread::hardware_concurrency());
  torch::set_num_threads(cpus);
  DSPARK_TRY(Group group, Group::join());
  if (recipe.batch % (recipe.micro_batch * group.size()) != 0)
    return fail("optimiser.batch {}: expected a multiple of micro_batch times {} processes",
                recipe.batch, group.size());
  Run run(recipe, options, group);
  DSPARK_RETURN_IF_ERROR(run.prepare());
  return run.train();
}

}  // namespace dspark::train
