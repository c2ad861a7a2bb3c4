#include "train/recipe.h"

#include <toml++/toml.h>

#include <functional>
#include <sstream>

namespace dspark::train {
namespace {

// Calls field(section, key, value, check, text) for every value of a recipe. check says what is
// wrong with it, or nothing.
using Check = std::function<std::string(double)>;

Check between(double low, double high) {
  return [=](double v) {
    return v >= low && v <= high ? std::string() : fmt::format("expected {} to {}", low, high);
  };
}

template <class Field>
void visit(Recipe& r, Field&& field) {
  const Check any, count = between(0, 1e12), positive = between(1, 1e12), share = between(0, 1);
  const Check weight = between(0, 1e6);
  field("target", "model", r.model, any, "GGUF file, Hugging Face directory, or installed name");
  field("data", "corpus", r.corpus, any, "files of `dspark data regenerate`, or DeepSpec's JSONL");
  field("data", "held_back", r.held_back, share, "share of conversations to evaluate on");
  field("data", "max_length", r.max_length, positive, "tokens of a conversation; the rest is cut");
  field("data", "min_loss_tokens", r.min_loss_tokens, positive, "shorter answers are left out");
  field("data", "rows", r.rows, count, "most conversations, 0: all");
  field("data", "strict", r.strict, any, "a bad row stops the run instead of being counted");
  field("drafter", "kind", r.kind, any, "dspark, dflash or eagle3");
  field("drafter", "layers", r.layers, between(1, 64), "draft layers (eagle3: 1)");
  field("drafter", "ffn", r.ffn, count, "feed-forward size, 0: the target's");
  field("drafter", "block", r.block, between(1, 64),
        "slots of a block; drafts of a cycle of eagle3");
  field("drafter", "taps", r.taps, any, "target layers that are tapped, []: five spread evenly");
  field("drafter", "markov", r.markov, any, "vanilla, gated or rnn (dspark)");
  field("drafter", "rank", r.rank, positive, "of the Markov head");
  field("drafter", "confidence", r.confidence, any, "a confidence head (dspark)");
  field("drafter", "draft_vocab", r.draft_vocab, count, "most frequent tokens drafted, 0: all");
  field("drafter", "candidates", r.candidates, count,
        "tokens a slot that the Markov bias is made for");
  field("drafter", "mask_token", r.mask_token, any, "a control token that no data has, or its id");
  field("drafter", "start", r.start, any, "fresh, target (its layers), or a drafter's file");
  field("drafter", "start_layers", r.start_layers, any,
        "target layers to start from, []: the last");
  field("loss", "ce", r.ce, weight, "weight of cross-entropy against the data's tokens");
  field("loss", "soft_ce", r.soft_ce, weight,
        "and against the target's distribution (dspark, dflash)");
  field("loss", "l1", r.l1, weight, "weight of the distance to the target's distribution");
  field("loss", "confidence", r.confidence_weight, weight, "weight of the confidence head's");
  field("loss", "decay", r.decay, between(0.01, 1e6), "slot j weighs exp(-j / decay)");
  field("loss", "step_decay", r.step_decay, share, "step s of eagle3 weighs step_decay^s");
  field("optimiser", "learning_rate", r.learning_rate, between(0, 1), "peak");
  field("optimiser", "warmup", r.warmup, share, "share of the steps");
  field("optimiser", "clip", r.clip, between(1e-6, 1e6), "global norm of gradients");
  field("optimiser", "weight_decay", r.weight_decay, share, "of AdamW");
  field("optimiser", "epochs", r.epochs, between(0, 1e6), "passes over the corpus");
  field("optimiser", "steps", r.steps, count, "optimiser steps in place of epochs, 0: by epochs");
  field("optimiser", "batch", r.batch, positive, "conversations of a step, all processes together");
  field("optimiser", "micro_batch", r.micro_batch, positive, "conversations at once in a process");
  field("optimiser", "anchors", r.anchors, positive, "most anchors of a conversation and visit");
  field("optimiser", "seed", r.seed, count, "of weights, anchors and order");
  field("run", "precision", r.precision, any,
        "of products: f32, bf16, or auto: bf16 where it is fast");
  field("run", "features", r.features, any,
        "cache (on disk beside the run) or fly (made at each visit)");
  field("run", "feature_bits", r.feature_bits, any, "of a cached value: 16 or 8");
  field("run", "evaluate_every", r.evaluate_every, positive, "steps between evaluations");
  field("run", "log_every", r.log_every, positive, "steps between rows of metrics.jsonl");
  field("run", "checkpoint_minutes", r.checkpoint_minutes, weight, "between checkpoints");
}

const char* type_of(const std::string&) { return "text"; }
const char* type_of(const int64_t&) { return "a whole number"; }
const char* type_of(const double&) { return "a number"; }
const char* type_of(const bool&) { return "true or false"; }
const char* type_of(const std::vector<std::string>&) { return "a list of texts"; }
const char* type_of(const std::vector<int64_t>&) { return "a list of whole numbers"; }

template <class T>  // a text, a whole number, true or false: of that very type
bool take(const toml::node& node, T& value) {
  const auto exact = node.value_exact<T>();
  if (exact) value = *exact;
  return exact.has_value();
}
bool take(const toml::node& node, double& value) {  // or a whole number
  const auto number = node.is_number() ? node.value<double>() : std::optional<double>();
  if (number) value = *number;
  return number && std::isfinite(*number);
}
template <class T>
bool take(const toml::node& node, std::vector<T>& list) {
  if (!node.is_array()) return false;
  list.clear();
  for (const toml::node& item : *node.as_array())
    if (!take(item, list.emplace_back())) return false;
  return true;
}

std::string shown(const std::string& v) {
  std::ostringstream out;
  out << toml::value<std::string>(v);
  return out.str();
}
std::string shown(int64_t v) { return fmt::format("{}", v); }
std::string shown(double v) { return fmt::format("{:#}", v); }
std::string shown(bool v) { return v ? "true" : "false"; }
template <class T>
std::string shown(const std::vector<T>& list) {
  std::string text = "[";
  for (const T& item : list) text += (text.size() > 1 ? ", " : "") + shown(item);
  return text + "]";
}

template <class T>
std::string fault_of(const T& value, const Check& check) {
  if constexpr (std::is_arithmetic_v<T>)
    if (check) return check(static_cast<double>(value));
  return {};
}

std::string one_of(const char* key, const std::string& value,
                   std::initializer_list<const char*> words) {
  std::string list;
  for (const char* word : words) {
    if (value == word) return {};
    list += (list.empty() ? "" : ", ") + std::string(word);
  }
  return fmt::format("{}: \"{}\", expected one of {}", key, value, list);
}

// What goes beyond single values; empty when all is well.
std::string conflict(const Recipe& r) {
  for (const std::string& fault : {one_of("drafter.kind", r.kind, {"dspark", "dflash", "eagle3"}),
                                   one_of("drafter.markov", r.markov, {"vanilla", "gated", "rnn"}),
                                   one_of("run.precision", r.precision, {"auto", "f32", "bf16"}),
                                   one_of("run.features", r.features, {"cache", "fly"})})
    if (!fault.empty()) return fault;
  if (r.feature_bits != 8 && r.feature_bits != 16) return "run.feature_bits: expected 8 or 16";
  if (r.corpus.empty()) return "data.corpus: expected at least one file";
  if (r.kind == "eagle3" && r.layers != 1) return "drafter.layers: eagle3 has 1";
  if (r.kind != "eagle3" && r.mask_token.empty()) return "drafter.mask_token is missing";
  if (r.batch % r.micro_batch != 0)
    return fmt::format("optimiser.batch: {} is no multiple of micro_batch {}", r.batch,
                       r.micro_batch);
  return {};
}

Status apply(Recipe& recipe, const toml::table& table, const std::string& name) {
  std::string fault;
  std::vector<std::string> known, sections;
  const auto place = [&](const toml::node& node) {
    return fmt::format("{}:{}", name, node.source().begin.line);
  };
  visit(recipe, [&](const char* section, const char* key, auto& value, const Check& check,
                    const char*) {
    known.push_back(fmt::format("{}.{}", section, key));
    sections.push_back(section);
    const toml::node* node = table[section][key].node();
    if (node == nullptr || !fault.empty()) return;
    if (!take(*node, value))
      fault = fmt::format("{}: {}.{}: expected {}", place(*node), section, key, type_of(value));
    else if (const std::string wrong = fault_of(value, check); !wrong.empty())
      fault = fmt::format("{}: {}.{}: {}, {}", place(*node), section, key, shown(value), wrong);
  });
  if (!fault.empty()) return Error{fault};
  for (const auto& [section, node] : table) {
    const std::string in(section.str());
    if (std::find(sections.begin(), sections.end(), in) == sections.end())
      return fail("{}: unknown section [{}]; did you mean [{}]?", place(node), in,
                  nearest_word(in, sections));
    if (!node.is_table()) return fail("{}: {}: expected a section", place(node), in);
    for (const auto& [key, value] : *node.as_table()) {
      const std::string full = in + "." + std::string(key.str());
      if (std::find(known.begin(), known.end(), full) == known.end())
        return fail("{}: unknown key {}; did you mean {}?", place(value), full,
                    nearest_word(full, known));
    }
  }
  return {};
}

Result<toml::table> parse(const std::string& text, const std::string& name) {
  try {
    return toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    return fail("{}:{}: {}", name, error.source().begin.line, error.description());
  }
}

}  // namespace

Result<Recipe> read_recipe(const std::filesystem::path& file) {
  DSPARK_TRY(const std::string text, read_file(file, size_t{1} << 20));
  DSPARK_TRY(const toml::table table, parse(text, file.string()));
  Recipe recipe;
  DSPARK_RETURN_IF_ERROR(apply(recipe, table, file.string()));
  if (const std::string wrong = conflict(recipe); !wrong.empty())
    return fail("{}: {}", file.string(), wrong);
  return recipe;
}

Status set_value(Recipe& recipe, const std::string& assignment) {
  const size_t dot = assignment.find('.'), equals = assignment.find('=');
  if (dot == std::string::npos || equals == std::string::npos || dot > equals)
    return fail("--set {}: expected SECTION.KEY=VALUE", assignment);
  const std::string text = fmt::format("[{}]\n{}", assignment.substr(0, dot),
                                       assignment.substr(dot + 1)),
                    name = "--set " + assignment;
  DSPARK_TRY(const toml::table table, parse(text, name));
  DSPARK_RETURN_IF_ERROR(apply(recipe, table, name));
  if (const std::string wrong = conflict(recipe); !wrong.empty())
    return fail("{}: {}", name, wrong);
  return {};
}

std::string to_toml(const Recipe& recipe) {
  Recipe copy = recipe;
  std::string text, section;
  visit(copy, [&](const char* in, const char* key, const auto& value, const Check&, const char*) {
    if (section != in) text += fmt::format("{}[{}]\n", section.empty() ? "" : "\n", section = in);
    text += fmt::format("{} = {}\n", key, shown(value));
  });
  return text;
}

std::string recipe_keys() {
  Recipe recipe;
  std::string text, section;
  visit(recipe,
        [&](const char* in, const char* key, const auto& value, const Check&, const char* what) {
          if (section != in) text += fmt::format("[{}]\n", section = in);
          text += fmt::format("  {:18} {:10} {}\n", key, shown(value), what);
        });
  return text;
}

}  // namespace dspark::train
