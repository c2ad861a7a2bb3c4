#include "train/markov_start.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <map>

#include "train/blocks.h"

namespace dspark::train {
namespace {

constexpr int64_t kLeastCount = 4, kRowsAtOnce = 1024;
constexpr int kSteps = 50;
constexpr double kRate = 0.1, kSpread = 0.1;
constexpr double kPrior = 8;  // pairs' worth of the unigram in each token's distribution

// What follows each token that is frequent enough: rows of the draft vocabulary and counts.
struct Bigrams {
  std::vector<int64_t> tokens;
  std::vector<std::map<int64_t, float>> followers;  // of tokens[i]
  double pairs = 0;
};

Bigrams count_bigrams(const Corpus& corpus, const draft::DrafterConfig& config) {
  const std::vector<int64_t> row_of = draft_rows(config);
  std::map<int64_t, std::map<int64_t, float>> all;
  for (const int64_t e : corpus.trained) {
    const learn::Example& example = corpus.examples[static_cast<size_t>(e)];
    for (const int64_t a : valid_anchors(example.loss_mask)) {
      const auto at = static_cast<size_t>(a);
      const int64_t row = row_of[static_cast<size_t>(example.ids[at + 1])];
      if (row >= 0) all[example.ids[at]][row] += 1;
    }
  }
  Bigrams bigrams;
  for (auto& [token, followers] : all) {
    float sum = 0;
    for (const auto& [row, n] : followers) sum += n;
    if (sum < kLeastCount) continue;
    bigrams.pairs += sum;
    bigrams.tokens.push_back(token);
    bigrams.followers.push_back(std::move(followers));
  }
  return bigrams;
}

// [rows, vocab] counts of tokens [first, first + rows).
torch::Tensor dense(const Bigrams& bigrams, int64_t first, int64_t rows, int64_t vocab) {
  torch::Tensor counts = torch::zeros({rows, vocab});
  float* data = counts.data_ptr<float>();
  for (int64_t r = 0; r < rows; ++r)
    for (const auto& [row, n] : bigrams.followers[static_cast<size_t>(first + r)])
      data[r * vocab + row] = n;
  return counts;
}

class Fit {
 public:
  Fit(const Bigrams& bigrams, int64_t vocab, int64_t rank, uint64_t seed) : bigrams_(bigrams) {
    at::Generator generator = at::detail::createCPUGenerator(seed);
    const auto n = static_cast<int64_t>(bigrams.tokens.size());
    w1 = torch::empty({n, rank}).normal_(0, kSpread, generator);
    w2 = torch::empty({vocab, rank}).normal_(0, kSpread, generator);
    torch::Tensor unigram = torch::full({vocab}, 0.1f);
    for (int64_t first = 0; first < n; first += kRowsAtOnce)
      unigram += dense(bigrams, first, std::min(kRowsAtOnce, n - first), vocab).sum(0);
    unigram_ = unigram / unigram.sum();
    bias_ = unigram_.log();
    unigram_ce = -(unigram_ * bias_).sum().item<double>();
    for (torch::Tensor* tensor : {&w1, &w2, &bias_}) tensor->set_requires_grad(true);
  }

  // Adam over all bigrams at once, at a rate that falls to zero.
  void run() {
    torch::optim::Adam optimiser({w1, w2, bias_}, torch::optim::AdamOptions(kRate));
    for (int step = 0; step < kSteps; ++step) {
      optimiser.zero_grad();
      loss();
      static_cast<torch::optim::AdamOptions&>(optimiser.param_groups()[0].options())
          .lr(kRate * (1 - static_cast<double>(step) / kSteps));
      optimiser.step();
    }
    const torch::NoGradGuard guard;
    bigram_ce = loss();
  }

  torch::Tensor w1, w2;
  double unigram_ce = 0, bigram_ce = 0;

 private:
  // Nats a pair against the counts, with gradients of that against counts and prior.
  double loss() {
    const auto n = static_cast<int64_t>(bigrams_.tokens.size());
    double sum = 0;
    for (int64_t first = 0; first < n; first += kRowsAtOnce) {
      const int64_t rows = std::min(kRowsAtOnce, n - first);
      const torch::Tensor counts = dense(bigrams_, first, rows, w2.size(0));
      const torch::Tensor total = counts.sum(1, true);
      const torch::Tensor logs =
          torch::log_softmax(torch::linear(w1.slice(0, first, first + rows), w2) + bias_, 1);
      sum -= (logs.detach() * counts).sum().item<double>();
      if (!logs.requires_grad()) continue;
      const torch::Tensor wanted = (counts + kPrior * unigram_) * (total / (total + kPrior));
      (-(logs * wanted).sum() / bigrams_.pairs).backward();
    }
    return sum / bigrams_.pairs;
  }

  const Bigrams& bigrams_;
  torch::Tensor unigram_, bias_;
};

}  // namespace

BigramFit start_markov_head(const Corpus& corpus, const draft::DrafterConfig& config, uint64_t seed,
                            Parameters& parameters) {
  const Bigrams bigrams = count_bigrams(corpus, config);
  if (bigrams.tokens.empty()) return {};
  Fit fit(bigrams, config.draft_vocab, config.markov_rank, seed);
  fit.run();
  const torch::NoGradGuard guard;
  torch::Tensor w1 = torch::zeros({config.decoder.vocab, config.markov_rank});
  w1.index_copy_(0, torch::tensor(bigrams.tokens, torch::kLong), fit.w1);
  // A gate that knows nothing yet halves the factor.
  if (config.markov_head == draft::MarkovHead::kGated) w1 *= 2;
  parameters.set("markov_head.markov_w1.weight", w1);
  parameters.set("markov_head.markov_w2.weight", fit.w2.detach());
  return {bigrams.pairs, fit.unigram_ce, fit.bigram_ce};
}

}  // namespace dspark::train
