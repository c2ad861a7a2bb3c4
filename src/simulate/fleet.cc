#include "simulate/fleet.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "simulate/step_plan.h"

namespace dspark::simulate {
namespace {

// A closed loop's steps: requests' drafting is judged over tens of cycles.
constexpr int64_t kFewestSteps = 400;
constexpr int kWarmUpShare = 4;  // one step in so many more, before those that count
// The search for a priced policy's own speed: runs at most, how exact it is.
constexpr int kPriceRuns = 8;
constexpr double kPriceClose = 1e-3;

class Fleet {
 public:
  Fleet(const Setup& setup, const Policy& policy, double price) : setup_(setup), policy_(policy) {
    CHECK(setup.lag >= 1 && setup.ranks >= 1 && setup.prefill_chunk >= 1,
          "lag {}, {} ranks, a chunk of {}", setup.lag, setup.ranks, setup.prefill_chunk);
    for (int r = 0; r < setup.ranks; ++r) ranks_.emplace_back(setup, policy, price);
  }

  std::vector<Rank>& ranks() { return ranks_; }

  // The same request number has the same answer, whatever the policy.
  Running request(size_t number, int prompt_tokens, int tokens) const {
    const auto& answers = setup_.recording->answers();
    std::mt19937_64 random(setup_.seed ^ (number * 0x9e3779b97f4a7c15u));
    Running made;
    made.answer = &answers[random() % answers.size()];
    made.number = number;
    made.prompt_left = prompt_tokens;
    made.left = tokens > 0 ? tokens : made.answer->tokens;
    return made;
  }

  // A step of all ranks; gives its time.
  double step(double start_ms, Figures& figures) {
    std::vector<int> budgets;
    for (Rank& rank : ranks_)
      if (const int budget = rank.plan(); !rank.requests().empty()) budgets.push_back(budget);
    if (budgets.size() > 1 && policy_.has_budget()) {
      const int budget = agreed(budgets);
      for (Rank& rank : ranks_) rank.agree(budget);
    }
    double ms = 0;
    for (const Rank& rank : ranks_) ms = std::max(ms, rank.ms());
    for (Rank& rank : ranks_) rank.run(ms, start_ms + ms, figures);
    figures.ms += ms;
    ++figures.steps;
    return ms;
  }

 private:
  int agreed(const std::vector<int>& budgets) const {
    switch (setup_.agreement) {
      case Agreement::kMinimum:
        return *std::min_element(budgets.begin(), budgets.end());
      case Agreement::kMaximum:
        return *std::max_element(budgets.begin(), budgets.end());
      case Agreement::kMean:
        break;
    }
    double sum = 0;
    for (const int budget : budgets) sum += budget;
    return static_cast<int>(std::lround(sum / static_cast<double>(budgets.size())));
  }

  const Setup& setup_;
  const Policy& policy_;
  std::vector<Rank> ranks_;
};

Figures run_at_price(const Setup& setup, const Policy& policy, const ClosedLoop& loop,
                     double price) {
  Fleet fleet(setup, policy, price);
  size_t number = 0;
  const auto next = [&] { return fleet.request(number++, loop.prompt_tokens, loop.tokens); };
  // Requests that are somewhere in their answers, so that they do not end together.
  std::mt19937_64 random(setup.seed);
  for (int i = 0; i < loop.concurrency; ++i) {
    Running request = next();
    request.prompt_left = 0;
    request.left = 1 + static_cast<int>(random() % static_cast<uint64_t>(request.left));
    request.next_cycle = random() % request.answer->cycles.size();
    fleet.ranks()[static_cast<size_t>(i % setup.ranks)].join(std::move(request));
  }
  Figures figures;
  const int64_t counted = std::max(kFewestSteps, loop.cycles / loop.concurrency);
  const int64_t warm_up = counted / kWarmUpShare;
  for (int64_t step = 0; step < warm_up + counted; ++step) {
    if (step == warm_up) figures = {};
    fleet.step(0, figures);
    for (Rank& rank : fleet.ranks()) {
      const size_t before = rank.requests().size();
      std::erase_if(rank.requests(), [](const Running& r) { return r.left <= 0; });
      for (size_t i = rank.requests().size(); i < before; ++i) rank.join(next());
    }
  }
  return figures;
}

// At the price that is the run's own speed.
Figures run_priced(const Setup& setup, const Policy& policy, const ClosedLoop& loop) {
  double price = 0;  // of a rank
  Figures figures = run_at_price(setup, policy, loop, price);
  for (int run = 1; run < kPriceRuns; ++run) {
    const double speed = static_cast<double>(figures.tokens) / figures.ms / setup.ranks;
    if (std::abs(speed - price) <= kPriceClose * speed) break;
    price = speed;
    figures = run_at_price(setup, policy, loop, price);
  }
  return figures;
}

}  // namespace

Figures run_closed(const Setup& setup, const Policy& policy, const ClosedLoop& loop) {
  CHECK(loop.concurrency >= 1, "{} requests", loop.concurrency);
  if (!policy.priced) return run_at_price(setup, policy, loop, 0);
  Figures best = run_priced(setup, policy, loop);
  if (policy.oracle) return best;
  // Whether it is better that requests rest, that all draft or that none does, it knows, too.
  Policy all = policy, none = policy;
  all.paced = none.paced = none.priced = false;
  all.priced = true;
  none.planner.kind = verify::PlannerKind::kOff;
  for (const Figures& other :
       std::array{run_priced(setup, all, loop), run_at_price(setup, none, loop, 0)})
    if (other.total_tok_per_s() > best.total_tok_per_s()) best = other;
  return best;
}

Figures run_open(const Setup& setup, const Policy& policy, std::span<const Arrival> arrivals,
                 int most_running) {
  CHECK(!arrivals.empty() && most_running >= 1 && !policy.priced,
        "{} arrivals, {} running at most, policy {}", arrivals.size(), most_running, policy.name);
  Fleet fleet(setup, policy, 0);
  Figures figures;
  figures.first_token_ms.resize(arrivals.size());
  std::vector<double> speeds(arrivals.size(), 0);
  double now = arrivals.front().at_ms, idle_ms = 0;
  size_t next = 0;
  for (;;) {
    size_t running = 0;
    for (Rank& rank : fleet.ranks()) running += rank.requests().size();
    if (running == 0 && next == arrivals.size()) break;
    if (running == 0 && arrivals[next].at_ms > now) {
      idle_ms += arrivals[next].at_ms - now;
      now = arrivals[next].at_ms;
    }
    for (; next < arrivals.size() && arrivals[next].at_ms <= now; ++next) {
      Rank& rank = *std::min_element(
          fleet.ranks().begin(), fleet.ranks().end(),
          [](Rank& a, Rank& b) { return a.requests().size() < b.requests().size(); });
      if (rank.requests().size() >= static_cast<size_t>(most_running)) break;
      const Arrival& arrival = arrivals[next];
      Running request = fleet.request(next, arrival.prompt_tokens, arrival.tokens);
      request.first_ms = now;
      rank.join(std::move(request));
    }
    now += fleet.step(now, figures);
    for (Rank& rank : fleet.ranks())
      std::erase_if(rank.requests(), [&](const Running& request) {
        if (request.left > 0) return false;
        figures.first_token_ms[request.number] = request.first_ms - arrivals[request.number].at_ms;
        if (request.decode_tokens > 0)
          speeds[request.number] = 1e3 * request.decode_tokens / (now - request.first_ms);
        return true;
      });
  }
  figures.ms += idle_ms;
  for (const double speed : speeds)
    if (speed > 0) figures.tok_per_s.push_back(speed);
  return figures;
}

std::vector<Arrival> poisson(double per_s, int count, int prompt_tokens, int tokens,
                             uint64_t seed) {
  CHECK(per_s > 0 && count >= 1, "{} arrivals, {} a second", count, per_s);
  std::mt19937_64 random(seed);
  std::exponential_distribution<double> gap_ms(per_s / 1e3);
  std::vector<Arrival> arrivals;
  double at_ms = 0;
  for (int i = 0; i < count; ++i)
    arrivals.push_back({at_ms += gap_ms(random), prompt_tokens, tokens});
  return arrivals;
}

}  // namespace dspark::simulate
