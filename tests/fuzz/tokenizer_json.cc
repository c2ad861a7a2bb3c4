// tokenizer.json's text: load it, and when it loads, encode and decode.
#include <cstdint>
#include <string>
#include <string_view>

#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using dspark::tokenizer::StreamDecoder;
  using dspark::tokenizer::Tokenizer;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto loaded = Tokenizer::from_json(input, "fuzz");
  if (!loaded.ok()) return 0;
  const Tokenizer& tokenizer = loaded.value();
  tokenizer.fingerprint();
  const std::string_view samples[] = {
      "Hello, world's 123\n\n  <a> <|x|> aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbb ",
      "\xff\xe2\x82 \xc3\xa9\xcc\x81\xcc\xa3 \xe4\xbd\xa0\xf0\x9f\x98\x80", input.substr(0, 256)};
  for (std::string_view sample : samples) {
    for (auto specials : {Tokenizer::Specials::kAsText, Tokenizer::Specials::kParse}) {
      StreamDecoder decoder(tokenizer);
      std::string text;
      for (int32_t id : tokenizer.encode(sample, specials)) {
        if (id < 0 || id >= tokenizer.vocab_size()) __builtin_trap();
        text += decoder.push(id);
      }
      text += decoder.flush();
    }
  }
  return 0;
}
