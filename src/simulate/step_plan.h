// Private to the room simulate: one rank's requests, and its part of a step.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "simulate/fleet.h"

namespace dspark::simulate {

struct Running {
  const Answer* answer = nullptr;
  size_t number = 0;  // of the request
  size_t next_cycle = 0;
  int taken = 0;  // slots of a block that was looked up: behind tokens of steps past
  int prompt_left = 0, left = 0;  // tokens
  verify::Pace pace = {};
  double first_ms = 0;  // when its first token was there
  int decode_tokens = 0;
  // Survival of this cycle and of the last `lag` ones, in turns; empty where nothing was drafted.
  std::vector<std::vector<double>> past = {};
  size_t past_at = 0;
  // Of this step:
  int prompt_rows = 0;
  bool decodes = false;
  const Cycle* cycle = nullptr;  // nullptr: drafts nothing
  int verified = 0, accepted = 0;

  const Cycle& recorded() const;
  void move_on(int tokens);  // committed by this cycle
};

class Rank {
 public:
  // price: tokens that a millisecond is worth, of priced policies.
  Rank(const Setup& setup, const Policy& policy, double price);

  std::deque<Running>& requests() { return requests_; }
  void join(Running request);

  // Who drafts, and how many drafts of each would be verified. Gives the budget: their sum.
  int plan();
  void agree(int budget);  // another budget, for the same drafts
  double ms() const;       // of the step as planned
  // What became of it, in figures; requests move on. Prompt's ends are at `end_ms`.
  void run(double step_ms, double end_ms, Figures& figures);

 private:
  void draft();
  void deal_prompt_rows();
  void plan_by_price(const verify::StepCost& cost);
  void take(std::span<const int> lengths);
  void learn();

  const Setup& setup_;
  const Policy& policy_;
  double price_;
  std::unique_ptr<verify::Planner> planner_, admission_;
  std::deque<Running> requests_;
  verify::UsualDrafts usual_;
  verify::Prospect prospect_;
  std::vector<double> sure_, survivals_;
  std::vector<Running*> decoding_;
  std::vector<verify::RequestView> views_;
  std::vector<int> lengths_;
  int prompt_rows_ = 0, drafting_ = 0, verified_ = 0;
};

}  // namespace dspark::simulate
