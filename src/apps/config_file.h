// A command's options from a file.
#pragma once

#include <string>

#include "base/base.h"

namespace CLI {
class App;
}  // namespace CLI

namespace dspark::apps {

// Gives `app` the options of a TOML file of plain keys, each an option's long name without its
// dashes ("model" for MODEL), where the command line gave none. An error names the file and the
// key.
Status read_config(CLI::App& app, const std::string& file);

}  // namespace dspark::apps
