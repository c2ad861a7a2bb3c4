// GGUF files that lie: each is refused with the file's name, the place and what was expected.
#include <gtest/gtest.h>

#include <functional>

#include "formats/gguf.h"
#include "gguf_bytes.h"

namespace dspark::formats {
namespace {

// The bytes live in a heap block of exactly their size, so that AddressSanitizer sees any read
// beyond.
Result<GgufFile> parse(const std::string& bytes) {
  const std::vector<uint8_t> exact(bytes.begin(), bytes.end());
  return GgufFile::parse(exact.data(), exact.size(), "bad.gguf");
}

struct Malformed {
  const char* what;
  std::string bytes;
  const char* expected;  // part of the message
};

constexpr uint64_t kHuge = uint64_t{1} << 60;

GgufBytes with_header(uint64_t tensors, uint64_t keys) { return GgufBytes().header(tensors, keys); }

// A header, one key whose kind and value are the bytes given, and room so that counts are believed.
std::string one_value(const std::function<void(GgufBytes&)>& value) {
  GgufBytes bytes = with_header(0, 1).text("the.key");
  value(bytes);
  return bytes.data(64).str();
}

std::string one_tensor(const std::string& name, const std::vector<uint64_t>& dims, uint32_t type,
                       uint64_t offset, size_t data = 256) {
  return with_header(1, 0).tensor(name, dims, type, offset).data(data).str();
}

std::vector<Malformed> malformed_files() {
  using B = GgufBytes;
  return {
      {"empty file", "", "not a GGUF file (0 bytes)"},
      {"short magic", "GG", "not a GGUF file (2 bytes)"},
      {"other magic", "GGML" + std::string(60, '\0'), "at byte 0: not a GGUF file"},
      {"no version", "GGUF", "at byte 4: the file ends inside the version"},
      {"version 1", B().header(0, 0, 1).str(), "at byte 4: GGUF version 1, expected 2 or 3"},
      {"version 4", B().header(0, 0, 4).str(), "GGUF version 4, expected 2 or 3"},
      {"version 0", B().header(0, 0, 0).str(), "GGUF version 0, expected 2 or 3"},
      {"big-endian", B().header(0, 0, 0x03000000).str(), "big-endian"},
      {"tensor count beyond the limit", with_header(kHuge, 0).str(),
       "at byte 8: 1152921504606846976 tensors, at most"},
      {"tensor count beyond the file", with_header(1000, 0).data(100).str(),
       "1000 tensors cannot fit in the"},
      {"key count beyond the limit", with_header(0, kHuge).str(),
       "at byte 16: 1152921504606846976 metadata keys"},
      {"key count beyond the file", with_header(0, 60000).data(100).str(),
       "60000 metadata keys cannot fit"},
      {"key length beyond the limit", with_header(0, 1).u64(kHuge).data(32).str(),
       "at byte 24: a metadata key has 1152921504606846976 bytes, at most 65535"},
      {"key length beyond the file", with_header(0, 1).u64(2000).data(64).str(),
       "only 64 are left"},
      {"empty key", with_header(0, 1).text("").data(64).str(), "a metadata key is empty"},
      {"key not UTF-8", with_header(0, 1).key_u32("a\xff", 1).str(), "'a\\xff' is not UTF-8"},
      {"key an overlong UTF-8", with_header(0, 1).key_u32("\xc0\x80", 1).str(), "is not UTF-8"},
      {"key a surrogate", with_header(0, 1).key_u32("\xed\xa0\x80", 1).str(), "is not UTF-8"},
      {"duplicate key", with_header(0, 2).key_u32("same", 1).key_u32("same", 2).str(),
       "metadata key 'same' appears twice"},
      {"unknown kind", one_value([](B& b) { b.u32(13); }), "'the.key': metadata kind 13"},
      {"boolean of 2", one_value([](B& b) { b.u32(7).put(uint8_t{2}); }), "a boolean of 2"},
      {"long string", one_value([](B& b) { b.u32(8).u64(kHuge); }),
       "a metadata string has 1152921504606846976 bytes"},
      {"nested array", one_value([](B& b) { b.u32(9).u32(9).u64(1).u32(4).u64(1).u32(5); }),
       "'the.key': an array of arrays is not supported"},
      {"array of an unknown kind", one_value([](B& b) { b.u32(9).u32(77).u64(1); }),
       "'the.key': array of kind 77"},
      {"array beyond the limit", one_value([](B& b) { b.u32(9).u32(0).u64(kHuge); }),
       "1152921504606846976 array items, at most"},
      {"array beyond the file", one_value([](B& b) { b.u32(9).u32(10).u64(500); }),
       "500 array items cannot fit"},
      {"string array beyond the file", one_value([](B& b) { b.u32(9).u32(8).u64(500); }),
       "500 array items cannot fit"},
      {"string in an array too long", one_value([](B& b) { b.u32(9).u32(8).u64(1).u64(kHuge); }),
       "a string of an array has"},
      {"boolean array", one_value([](B& b) { b.u32(9).u32(7).u64(2).raw("\x01\x05"); }),
       "'the.key', item 1: a boolean of 5"},
      {"alignment 0", with_header(0, 1).key_u32("general.alignment", 0).str(),
       "power of two up to 1048576, found 0"},
      {"alignment 24", with_header(0, 1).key_u32("general.alignment", 24).str(), "found 24"},
      {"alignment 2^31", with_header(0, 1).key_u32("general.alignment", 1u << 31).str(),
       "found 2147483648"},
      {"alignment a string", with_header(0, 1).key_text("general.alignment", "32").str(),
       "general.alignment: expected an unsigned power of two"},
      {"empty tensor name", one_tensor("", {4}, 0, 0), "a tensor's name is empty"},
      {"tensor name not UTF-8", one_tensor("w\xfe", {4}, 0, 0), "'w\\xfe' is not UTF-8"},
      {"tensor name too long", one_tensor(std::string(1025, 'n'), {4}, 0, 0),
       "has 1025 bytes, at most 1024"},
      {"five dimensions", one_tensor("w", {1, 1, 1, 1, 1}, 0, 0),
       "tensor 'w': 5 dimensions, at most 4"},
      {"2^32 - 1 dimensions", with_header(1, 0).text("w").u32(~0u).data(64).str(),
       "4294967295 dimensions"},
      {"a dimension of 0", one_tensor("w", {4, 0}, 0, 0), "tensor 'w': dimension 1 is 0"},
      {"a dimension beyond int64", one_tensor("w", {~uint64_t{0}}, 0, 0),
       "its dimensions overflow at dimension 0"},
      {"dimensions that overflow", one_tensor("w", {1u << 31, 1u << 31, 4}, 0, 0),
       "its dimensions overflow at dimension 2 of 4"},
      {"bytes that overflow", one_tensor("w", {uint64_t{1} << 62}, 0, 0), "larger than the file"},
      {"larger than the file", one_tensor("w", {1000}, 0, 0), "larger than the file"},
      {"unknown type", one_tensor("w", {32}, 200, 0),
       "tensor 'w': type 200 (unknown) is not supported"},
      {"unsupported type", one_tensor("w", {256}, 10, 0), "type 10 (q2_k) is not supported"},
      {"another unsupported type", one_tensor("w", {256}, 23, 0), "type 23 (iq4_xs)"},
      {"a type that GGUF dropped", one_tensor("w", {256}, 4, 0), "type 4 (q4_2)"},
      {"rows that split a block", one_tensor("w", {33, 2}, 2, 0),
       "rows of 33 values, expected a multiple of 32 for q4_0"},
      {"a block across rows", one_tensor("w", {16, 2}, 2, 0), "rows of 16 values"},
      {"no dimensions, blocks", one_tensor("w", {}, 2, 0), "rows of 1 values"},
      {"rows that split a large block", one_tensor("w", {128}, 12, 0), "multiple of 256 for q4_k"},
      {"offset not aligned", one_tensor("w", {4}, 0, 8),
       "tensor 'w': offset 8 is not a multiple of the alignment 32"},
      {"offset past the end", one_tensor("w", {4}, 0, 1024),
       "16 bytes at offset 1024 of the data section, which has 256 bytes"},
      {"offset that overflows", one_tensor("w", {4}, 0, ~uint64_t{31}), "16 bytes at offset"},
      {"data cut short", one_tensor("w", {16}, 0, 0, 63), "is the file cut short?"},
      {"no data", with_header(1, 0).tensor("w", {4}, 0, 0).str(), "which has 0 bytes"},
      {"duplicate tensor",
       with_header(2, 0).tensor("w", {4}, 0, 0).tensor("w", {4}, 0, 32).data(64).str(),
       "tensor 'w' appears twice"},
      {"same data twice",
       with_header(2, 0).tensor("v", {4}, 0, 0).tensor("w", {4}, 0, 0).data(64).str(), "overlap"},
      {"overlapping tensors",
       with_header(2, 0).tensor("w", {4}, 0, 32).tensor("v", {12}, 0, 0).data(64).str(),
       "tensors 'v' and 'w' overlap"},
  };
}

TEST(GgufMalformed, EveryLieIsNamed) {
  for (const Malformed& file : malformed_files()) {
    auto result = parse(file.bytes);
    ASSERT_FALSE(result.ok()) << file.what;
    const std::string& message = result.message();
    EXPECT_TRUE(message.starts_with("bad.gguf: ")) << file.what << ": " << message;
    EXPECT_NE(message.find(file.expected), std::string::npos) << file.what << ": " << message;
    EXPECT_LT(message.size(), 300u) << file.what;
  }
}

// Every kind of metadata and two tensors, in less than a kilobyte.
std::string small_file() {
  GgufBytes bytes = with_header(2, 8);
  bytes.key_text("general.architecture", "tiny").key_u32("general.alignment", 32);
  bytes.text("tokens").u32(9).u32(8).u64(3).text("a").text("").text("bc");
  bytes.text("scores").u32(9).u32(6).u64(2).put(0.5f).put(-1.0f);
  bytes.text("flags").u32(9).u32(7).u64(2).raw(std::string_view("\x01\x00", 2));
  bytes.text("types").u32(9).u32(5).u64(2).u32(1).u32(3);
  bytes.text("flag").u32(7).put(uint8_t{1});
  bytes.text("eps").u32(12).put(1e-6);
  bytes.tensor("a.weight", {32, 2}, 2, 0).tensor("b.weight", {3}, 0, 64);
  return bytes.data(64 + 12).str();
}

TEST(GgufMalformed, EveryPrefixIsRefused) {
  const std::string whole = small_file();
  ASSERT_TRUE(parse(whole).ok()) << parse(whole).message();
  for (size_t length = 0; length < whole.size(); ++length) {
    auto result = parse(whole.substr(0, length));
    ASSERT_FALSE(result.ok()) << length;
    EXPECT_TRUE(result.message().starts_with("bad.gguf: ")) << result.message();
  }
}

// No claim on the outcome, but no crash either, and what parses is inside the file.
TEST(GgufMalformed, AnyByteMayBeWrong) {
  const std::string whole = small_file();
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int change : {0x01, 0x80, 0xff, 0x10}) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ change);
      auto result = parse(bytes);
      if (!result.ok()) continue;
      for (const TensorView& tensor : result->tensors()) EXPECT_LE(tensor.bytes, whole.size());
    }
  }
}

TEST(GgufMalformed, FilesThatCannotBeOpenedAreNamed) {
  EXPECT_NE(GgufFile::open("/nonexistent/x.gguf").message().find("/nonexistent/x.gguf"),
            std::string::npos);
  EXPECT_NE(GgufFile::open("/").message().find("not a regular file"), std::string::npos);
}

}  // namespace
}  // namespace dspark::formats
