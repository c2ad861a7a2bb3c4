// Models and runs for the engine's tests.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace dspark::engine::testing {

// A tiny Qwen3 with a tokenizer and random weights, made once.
std::filesystem::path tiny_model();
// A drafter with random weights for the tiny model, made by tools/random_drafter with these
// options.
std::filesystem::path tiny_drafter(const std::string& options);
// A tiny Gemma 4 of the fixtures: layers of two kinds, most with a window of 8 positions. Wide:
// with one of 600.
std::filesystem::path tiny_gemma4();
std::filesystem::path tiny_gemma4_wide();
// The default model; empty when it is not installed.
std::filesystem::path default_model();
bool nightly();  // DSPARK_NIGHTLY=1: long tests do all

std::unique_ptr<Engine> make_engine(const std::filesystem::path& model, Options options);

// Submits all requests in the order given (indices), at most `concurrency` at a time, and returns
// their completions by index. CHECKs the engine's integrity at the end.
std::vector<Completion> run_all(Engine& engine, const std::vector<Request>& requests,
                                int concurrency, const std::vector<size_t>& order);
std::vector<Completion> run_all(Engine& engine, const std::vector<Request>& requests,
                                int concurrency);

}  // namespace dspark::engine::testing
