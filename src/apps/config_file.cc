#include "apps/config_file.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <map>
#include <sstream>

#include "base/base.h"

namespace dspark::apps {
namespace {

std::map<std::string, CLI::Option*> options_of(CLI::App& app) {
  std::map<std::string, CLI::Option*> options;
  for (CLI::Option* option : app.get_options()) {
    std::string name =
        option->get_lnames().empty() ? option->get_name(true, false) : option->get_lnames().front();
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (name != "help" && name != "version" && name != "config") options[name] = option;
  }
  return options;
}

}  // namespace

Status read_config(CLI::App& app, const std::string& file) {
  DSPARK_TRY(const std::string text, read_file(file, size_t{1} << 20));
  const auto options = options_of(app);
  std::vector<std::string> names;
  for (const auto& [name, option] : options) names.push_back(name);
  try {
    std::istringstream stream(text);
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(stream)) {
      if (item.name == "++" || item.name == "--" || !item.parents.empty())
        return fail("{}: [{}]: expected plain keys, no tables", file,
                    item.parents.empty() ? "" : item.parents.front());
      const auto found = options.find(item.name);
      if (found == options.end())
        return fail("{}: unknown key {}, the nearest is {}", file, item.name,
                    nearest_word(item.name, names));
      CLI::Option* option = found->second;
      if (option->count() > 0) continue;
      try {
        if (option->get_expected_min() == 0)  // a flag
          option->add_result(option->get_flag_value(item.name, CLI::ConfigTOML().to_flag(item)));
        else
          option->add_result(item.inputs);
        option->run_callback();
      } catch (const CLI::Error& error) {
        std::string message = error.what();  // begins with the option's name
        const std::string own = option->get_name() + ": ";
        if (message.starts_with(own)) message.erase(0, own.size());
        return fail("{}: {}: {}", file, item.name, message);
      }
    }
  } catch (const CLI::Error& error) {
    return fail("{}: {}", file, error.what());
  }
  return {};
}

}  // namespace dspark::apps
