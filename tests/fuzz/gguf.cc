// Any bytes as a GGUF file: an error that names the file, or tensors that lie inside it.
#include "formats/gguf.h"

using dspark::TensorView;
using dspark::formats::GgufFile;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto file = GgufFile::parse(data, size, "fuzz.gguf");
  if (!file.ok()) {
    CHECK(file.message().starts_with("fuzz.gguf: "), "{}", file.message());
    return 0;
  }
  size_t total = 0;
  for (const TensorView& tensor : file->tensors()) {
    CHECK(tensor.data >= data && tensor.bytes <= size, "{}", tensor.name);
    CHECK(tensor.data + tensor.bytes <= data + size, "{}", tensor.name);
    CHECK(tensor.bytes == dspark::dtype_bytes(tensor.type, static_cast<size_t>(tensor.values())),
          "{}", tensor.name);
    CHECK(file->find(tensor.name) == &tensor, "{}", tensor.name);
    total += tensor.bytes;
  }
  CHECK(total <= size, "tensors overlap");
  for (const auto& [key, value] : file->metadata()) {
    const bool known[] = {file->integer(key).ok(),        file->number(key).ok(),
                          file->boolean(key, false).ok(), file->string(key).ok(),
                          file->strings(key).ok(),        file->integers(key).ok(),
                          file->numbers(key).ok()};
    CHECK(!known[0] || known[1], "{}: an integer is a number", key);
  }
  return 0;
}
