#include "grammar/grammar.h"

#include "grammar/front_ends.h"
#include "grammar/network.h"

namespace dspark::grammar {

Grammar::Grammar(std::string source, Network network)
    : source_(std::move(source)), network_(std::make_unique<const Network>(std::move(network))) {}
Grammar::~Grammar() = default;

Result<std::shared_ptr<const Grammar>> Grammar::from_gbnf(std::string_view text,
                                                          const std::string& name) {
  DSPARK_TRY(Rules rules, parse_gbnf(text, name));
  Result<Network> network = compile(std::move(rules));
  if (!network.ok()) return fail("{}: {}", name, network.message());
  return std::make_shared<const Grammar>("gbnf\n" + std::string(text), network.take());
}

Result<std::shared_ptr<const Grammar>> Grammar::from_json_schema(
    const nlohmann::ordered_json& schema, const Frame& frame) {
  DSPARK_TRY(Rules rules, rules_of_schema(schema, frame));
  DSPARK_TRY(Network network, compile(std::move(rules)));
  const auto text = [](const nlohmann::ordered_json& json) {
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  };
  std::string source = "schema\n" + text(schema);
  if (!frame.empty()) source += "\n" + text({frame.before, frame.after, frame.between, frame.many});
  return std::make_shared<const Grammar>(std::move(source), std::move(network));
}

std::shared_ptr<const Grammar> Grammar::any_json_object() {
  static const auto kObject =
      std::make_shared<const Grammar>("object", compile(rules_of_any_object()).take());
  return kObject;
}

}  // namespace dspark::grammar
