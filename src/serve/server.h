// A server: what it is given, and running it until it is told to stop.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace dspark::serve {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;                        // 0: any; see on_listening
  std::string model_name;                 // as clients see it
  std::vector<std::string> keys;          // API keys; none: everybody may call
  std::vector<std::string> cors_origins;  // whose pages may call; "*": all; none: no CORS headers
  bool strict = false;                    // unknown fields are errors
  int most_calls = 256;                   // answered at once; more get 429
  int most_calls_per_key = 0;             // of them with the same key; 0: all
  size_t most_body_bytes = size_t{4} << 20;
  std::chrono::seconds header_time{30}, write_time{60};
  std::chrono::seconds drain_time{30};  // for answers under way when it is told to stop
  // One line of JSON a request, without its end; see docs/server.md. Empty: none.
  std::function<void(const std::string& line)> log_line;
};

// Loads the engine beside serving /health, which says 503 until it is there. Runs until stop
// becomes true, then lets what is under way end, for drain_time at most. on_listening: the port is
// open. An error when the address can't be used or the model can't be loaded.
Status run_server(const ServerOptions& options,
                  const std::function<Result<std::unique_ptr<engine::Engine>>()>& load,
                  const std::atomic<bool>& stop,
                  const std::function<void(const std::string& address)>& on_listening);

}  // namespace dspark::serve
