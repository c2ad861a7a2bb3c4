// Asks a model, and shows the answer as it comes: ask MODEL DRAFTER PROMPT
#include <cstdio>
#include <dspark/dspark.hpp>

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: ask MODEL DRAFTER PROMPT\n");
    return 2;
  }
  try {
    dspark::Engine engine({.model = argv[1], .drafter = argv[2]});
    dspark::Request request;
    request.text = argv[3];
    request.max_tokens = 64;
    const dspark::Result result = engine.generate(request, [](const dspark::Delta& delta) {
      std::printf("%.*s", static_cast<int>(delta.text.size()), delta.text.data());
      std::fflush(stdout);
      return true;  // false cancels it
    });
    std::printf("\n");
    std::fprintf(stderr, "%zu tokens, %lld of %lld drafts accepted\n", result.ids.size(),
                 static_cast<long long>(result.accepted), static_cast<long long>(result.drafted));
  } catch (const dspark::Error& error) {
    std::fprintf(stderr, "ask: %s\n", error.what());
    return 1;
  }
  return 0;
}
