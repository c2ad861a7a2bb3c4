// Any bytes as config.json: an error that names the file, or access that never breaks. The text
// before the first NUL is the JSON, what follows is a key to look up.
#include "formats/hf_config.h"

#include <algorithm>

using dspark::formats::JsonConfig;

namespace {

void look_up(const JsonConfig& config, std::string_view key) {
  const bool integer = config.integer(key).ok();
  CHECK(!integer || config.number(key).ok(), "{}: an integer is a number", key);
  CHECK(config.has(key) || (config.integer(key, 1).ok() && config.string(key, "x").ok() &&
                            config.boolean(key, true).ok() && config.number(key, 1).ok()),
        "{}: absent, yet no fallback", key);
  const auto integers = config.integers(key);
  CHECK(!integers.ok() || config.numbers(key).ok(), "{}: integers are numbers", key);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), size);
  auto config = JsonConfig::parse(input.substr(0, end), "fuzz.json");
  if (!config.ok()) {
    CHECK(config.message().starts_with("fuzz.json: "), "{}", config.message());
    return 0;
  }
  look_up(*config, input.substr(std::min(end + 1, size)));
  for (const auto& [key, value] : config->json().items()) look_up(*config, key);
  return 0;
}
