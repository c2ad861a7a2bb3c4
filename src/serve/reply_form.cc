#include "serve/reply_form.h"

namespace dspark::serve {
namespace {

const char* origin_name(engine::Origin origin) {
  switch (origin) {
    case engine::Origin::kAccepted:
      return "accepted";
    case engine::Origin::kCorrected:
      return "corrected";
    case engine::Origin::kBonus:
      return "bonus";
    case engine::Origin::kPlain:
      break;
  }
  return "plain";
}

}  // namespace

std::string ReplyForm::call_id(size_t choice, size_t index) const {
  return fmt::format("call_{}_{}_{}", context_.id, choice, index);
}

StreamEvents ReplyForm::fault(const ApiError& error) { return {{"error", dump(error.json())}}; }

std::unique_ptr<ReplyForm> make_form(const Job& job, ReplyContext context) {
  if (job.api == Api::kResponses) return responses_form(job, std::move(context));
  if (job.api == Api::kMessages) return messages_form(job, std::move(context));
  return completion_form(job, std::move(context));
}

Usage::Usage(const std::vector<engine::Completion>& done) {
  for (const engine::Completion& c : done) {
    tokens += static_cast<int64_t>(c.ids.size());
    cached = std::max(cached, c.cached_rows);
    cycles += static_cast<int64_t>(c.cycles.size());
    for (const engine::Cycle& cycle : c.cycles)
      drafted += cycle.drafted, verified += cycle.verified, accepted += cycle.accepted;
  }
}

Json Usage::speculation() const {
  return {{"cycles", cycles}, {"drafted", drafted}, {"verified", verified}, {"accepted", accepted}};
}

Json origins_json(const engine::Delta& delta) {
  Json pieces = Json::array();
  for (const engine::Piece& piece : delta.pieces)
    pieces.push_back({{"text", piece.text}, {"origin", origin_name(piece.origin)}});
  return {{"tokens", delta.ids.size()}, {"pieces", std::move(pieces)}};
}

}  // namespace dspark::serve
