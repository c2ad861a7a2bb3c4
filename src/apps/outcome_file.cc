#include "apps/outcome_file.h"

#include <cmath>

namespace dspark::apps {
namespace {

constexpr size_t kMostOutcomeBytes = size_t{4} << 30;
constexpr int kMostSlots = 1024;

Json parameters_json(const verify::ModeCalibration* calibration) {
  if (calibration == nullptr) return nullptr;
  return {{"temperatures", calibration->calibration.temperatures},
          {"offsets", calibration->calibration.offsets},
          {"weights", calibration->calibration.weights}};
}

// A line of the file.
struct AnswerLine {
  struct Cycle {
    int drafted, considered, accepted;
    bool looked_up;
  };
  int tokens = 0;
  std::vector<Cycle> cycles;
  std::vector<float> logits, certainties, confidences;
};

Result<AnswerLine> answer_of(const Json& json, const std::string& place) {
  AnswerLine line;
  size_t drafted = 0;
  bool sound = true;
  try {
    line.tokens = json.at("tokens").get<int>();
    for (const Json& cycle : json.at("cycles")) {
      const AnswerLine::Cycle c{cycle.at(0).get<int>(), cycle.at(1).get<int>(),
                                cycle.at(2).get<int>(),
                                cycle.size() > 3 && cycle.at(3).get<int>() != 0};
      sound &= c.drafted <= kMostSlots && 0 <= c.accepted && c.accepted <= c.considered &&
               c.considered <= c.drafted;
      if (!sound) break;
      drafted += static_cast<size_t>(c.drafted);
      line.cycles.push_back(c);
    }
    line.logits = json.at("logits").get<std::vector<float>>();
    if (json.contains("certainties"))  // older files lack it
      line.certainties = json.at("certainties").get<std::vector<float>>();
    else
      line.certainties.resize(line.logits.size());
    if (json.contains("confidences"))
      line.confidences = json.at("confidences").get<std::vector<float>>();
  } catch (const nlohmann::json::exception&) {
    sound = false;
  }
  for (const auto* values : {&line.logits, &line.certainties, &line.confidences}) {
    sound &= values->empty() || values->size() == drafted;
    for (const float value : *values) sound &= std::isfinite(value);
  }
  for (const float chance : line.confidences) sound &= chance >= 0 && chance <= 1;
  if (!sound || line.tokens < 1 || line.certainties.size() != line.logits.size())
    return fail(
        "{}: expected {{\"tokens\", \"cycles\": [[drafted, considered, accepted, looked up: 0 or "
        "1], ...], "
        "\"logits\": [...], \"certainties\": [...], \"confidences\": [...]}} with numbers for all "
        "slots drafted, or none",
        place);
  return line;
}

struct Header {
  Outcomes outcomes;
  verify::Calibration calibration;
};

Result<Header> header_of(const Json& json, const std::string& place) {
  Header header;
  try {
    const Json& of = json.at("outcomes");
    header.outcomes.model = of.at("model").get<std::string>();
    header.outcomes.drafter = of.at("drafter").get<std::string>();
    DSPARK_TRY(header.outcomes.mode, verify::parse_mode(of.at("verify").get<std::string>()));
    if (const Json& calibration = of.at("calibration"); !calibration.is_null()) {
      header.calibration.temperatures = calibration.at("temperatures").get<std::vector<double>>();
      header.calibration.offsets = calibration.at("offsets").get<std::vector<double>>();
      if (calibration.contains("weights"))
        header.calibration.weights = calibration.at("weights").get<std::vector<double>>();
    }
  } catch (const nlohmann::json::exception&) {
    return fail("{}: not the outcomes of `dspark eval --record`", place);
  }
  if (const Status valid = verify::validate(header.calibration); !valid)
    return fail("{}: {}", place, valid.message());
  return header;
}

}  // namespace

void OutcomeLog::add(size_t suite, const std::string& name, size_t prompt,
                     const engine::Completion& completion) {
  Json cycles = Json::array();
  for (const engine::Cycle& cycle : completion.cycles)
    cycles.push_back({cycle.drafted, cycle.ended ? cycle.accepted : cycle.verified, cycle.accepted,
                      cycle.looked_up ? 1 : 0});
  lines_[{suite, prompt}] = to_line({{"suite", name},
                                     {"prompt", prompt},
                                     {"tokens", completion.ids.size()},
                                     {"cycles", std::move(cycles)},
                                     {"logits", completion.confidence_logits},
                                     {"certainties", completion.certainties},
                                     {"confidences", completion.confidences}});
}

std::string OutcomeLog::text(const engine::Info& info, double temperature,
                             const verify::ModeCalibration* calibration) const {
  const bool greedy = info.verify == "coupled" && temperature == 0;
  const Json header = {{"outcomes",
                        {{"version", DSPARK_VERSION},
                         {"model", info.model},
                         {"drafter", info.drafter},
                         {"slots", info.draft_slots},
                         {"verify", greedy ? "greedy" : info.verify},
                         {"temperature", temperature},
                         {"calibration", parameters_json(calibration)}}}};
  std::string text = to_line(header) + "\n";
  for (const auto& [place, line] : lines_) text += line + "\n";
  return text;
}

Result<Outcomes> read_outcomes(const std::filesystem::path& file) {
  DSPARK_TRY(const std::string text, read_file(file, kMostOutcomeBytes));
  std::optional<Header> header;
  std::vector<AnswerLine> answers;
  verify::AcceptanceMetrics shares;
  DSPARK_RETURN_IF_ERROR(for_each_line(text, [&](std::string_view line, size_t number) -> Status {
    const std::string place = fmt::format("{}:{}", file.string(), number);
    DSPARK_TRY(const Json json, parse_object(line, place));
    if (!header) {
      DSPARK_TRY(header, header_of(json, place));
      return {};
    }
    DSPARK_TRY(answers.emplace_back(), answer_of(json, place));
    for (const auto& cycle : answers.back().cycles)
      shares.add(cycle.accepted + 1, cycle.considered, cycle.accepted);
    return {};
  }));
  if (!header) return fail("{}: it is empty", file.string());
  Outcomes outcomes = std::move(header->outcomes);
  std::vector<double> confidence, survival;
  for (const AnswerLine& answer : answers) {
    outcomes.recording.begin_answer(answer.tokens);
    size_t first = 0;
    for (const auto& cycle : answer.cycles) {
      const auto slots = static_cast<size_t>(cycle.considered);
      const auto of = [&](const std::vector<float>& values) {
        return std::span(values).subspan(first, slots);
      };
      confidence.resize(slots);
      survival.resize(slots);
      if (!answer.confidences.empty()) {
        std::ranges::copy(of(answer.confidences), confidence.begin());
      } else if (!answer.logits.empty()) {
        verify::survival(of(answer.logits), of(answer.certainties), header->calibration, confidence,
                         survival);
      } else {
        for (size_t k = 0; k < slots; ++k)
          confidence[k] = shares.conditional_rate(static_cast<int>(k)).value_or(0);
      }
      first += static_cast<size_t>(cycle.drafted);
      outcomes.recording.add(confidence, cycle.accepted, cycle.looked_up);
    }
  }
  if (const Status found = outcomes.recording.finish(); !found)
    return fail("{}: {}", file.string(), found.message());
  return outcomes;
}

}  // namespace dspark::apps
