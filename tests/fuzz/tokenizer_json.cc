// tokenizer.json's text: load it, and when it loads, encode and decode.
#include <cstdint>
#include <string_view>

#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using dspark::tokenizer::StreamDecoder;
  using dspark::tokenizer::Tokenizer;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = Tokenizer::from_json(text, "fuzz");
  if (!tokenizer.ok()) return 0;
  for (std::string_view sample : {std::string_view("Hello, world 123\n"), std::string_view("\xff\xe2\x82 \xc3\xa9 <a>"), text.substr(0, 256)})
    for (auto specials : {Tokenizer::Specials::kAsText, Tokenizer::Specials::kParse}) {
      const auto ids = tokenizer.value().encode(sample, specials);
      StreamDecoder decoder(tokenizer.value());
      for (int32_t id : ids) decoder.push(id);
      decoder.flush();
    }
  return 0;
}
