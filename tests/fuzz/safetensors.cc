// Any bytes as a safetensors file: an error that names the file, or tensors that tile its data
// section.
#include "formats/safetensors.h"

using dspark::TensorView;
using dspark::formats::Safetensors;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto file = Safetensors::parse(data, size, "fuzz.safetensors");
  if (!file.ok()) {
    CHECK(file.message().starts_with("fuzz.safetensors: "), "{}", file.message());
    return 0;
  }
  size_t total = 0;
  for (const TensorView& tensor : file->tensors()) {
    CHECK(tensor.data >= data && tensor.bytes <= size, "{}", tensor.name);
    CHECK(tensor.data + tensor.bytes <= data + size, "{}", tensor.name);
    CHECK(file->find(tensor.name) == &tensor, "{}", tensor.name);
    total += tensor.bytes;
  }
  CHECK(total + 8 <= size, "tensors overlap");
  return 0;
}
