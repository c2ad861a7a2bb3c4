#include "engine/support.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "installed_model.h"

namespace dspark::engine::testing {

namespace fs = std::filesystem;

fs::path tiny_model() {
  static const fs::path path = [] {
    const fs::path made =
        fs::temp_directory_path() / fmt::format("dspark-tiny-{}.gguf", ::getpid());
    CHECK(std::system(fmt::format("{} tiny q8_0 {} --seed 7 >/dev/null 2>&1", DSPARK_RANDOM_MODEL,
                                  made.string())
                          .c_str()) == 0);
    static const std::string to_remove = made.string();
    std::atexit([] { std::remove(to_remove.c_str()); });
    return made;
  }();
  return path;
}

fs::path tiny_drafter(const std::string& options) {
  static std::map<std::string, std::string> made;
  std::string& path = made[options];
  if (path.empty()) {
    path = (fs::temp_directory_path() /
            fmt::format("dspark-tiny-drafter-{}-{}.gguf", ::getpid(), made.size()))
               .string();
    CHECK(std::system(fmt::format("{} {} {} {} >/dev/null", DSPARK_RANDOM_DRAFTER,
                                  tiny_model().string(), path, options)
                          .c_str()) == 0);
    if (made.size() == 1)
      std::atexit([] {
        for (const auto& [options, file] : made) std::remove(file.c_str());
      });
  }
  return path;
}

fs::path tiny_gemma4() {
  return fs::path(DSPARK_SOURCE_DIR) / "tests/fixtures/gemma4_eagle3/target";
}

fs::path tiny_gemma4_wide() {
  static const fs::path path = [] {
    const fs::path made =
        fs::temp_directory_path() / fmt::format("dspark-tiny-gemma4-{}", ::getpid());
    fs::create_directory(made);
    fs::create_symlink(tiny_gemma4() / "model.safetensors", made / "model.safetensors");
    std::ifstream in(tiny_gemma4() / "config.json");
    nlohmann::json config = nlohmann::json::parse(in);
    config["sliding_window"] = 600;
    config["max_position_embeddings"] = 1024;
    std::ofstream(made / "config.json") << config;
    static const fs::path to_remove = made;
    std::atexit([] { fs::remove_all(to_remove); });
    return made;
  }();
  return path;
}

fs::path default_model() { return dspark::testing::installed_model(); }

bool nightly() {
  const char* value = std::getenv("DSPARK_NIGHTLY");
  return value != nullptr && std::string(value) == "1";
}

std::unique_ptr<Engine> make_engine(const fs::path& model, Options options) {
  auto engine = Engine::create(model, std::move(options));
  CHECK(engine.ok(), "{}", engine.message());
  return engine.take();
}

std::vector<Completion> run_all(Engine& engine, const std::vector<Request>& requests,
                                int concurrency, const std::vector<size_t>& order) {
  std::vector<Completion> completions(requests.size());
  size_t next = 0;
  int active = 0;
  do {
    for (; active < concurrency && next < order.size(); ++next, ++active) {
      const size_t index = order[next];
      const auto id = engine.submit(requests[index],
                                    {nullptr, [&completions, &active, index](const Completion& c) {
                                       completions[index] = c;
                                       --active;
                                     }});
      CHECK(id.ok(), "{}", id.message());
    }
    engine.step();
  } while (active > 0 || next < order.size());
  const Status integrity = engine.check_integrity();
  CHECK(integrity.ok(), "{}", integrity.message());
  return completions;
}

std::vector<Completion> run_all(Engine& engine, const std::vector<Request>& requests,
                                int concurrency) {
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), size_t{0});
  return run_all(engine, requests, concurrency, order);
}

}  // namespace dspark::engine::testing
