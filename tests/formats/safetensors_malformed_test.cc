// Safetensors files that lie: each is refused with the file's name, the place and what was
// expected.
#include <gtest/gtest.h>

#include "formats/safetensors.h"
#include "safetensors_bytes.h"

namespace dspark::formats {
namespace {

// The bytes live in a heap block of exactly their size, so that AddressSanitizer sees any read
// beyond.
Result<Safetensors> parse(const std::string& bytes) {
  const std::vector<uint8_t> exact(bytes.begin(), bytes.end());
  return Safetensors::parse(exact.data(), exact.size(), "bad.safetensors");
}

struct Malformed {
  const char* what;
  std::string header;
  size_t data_bytes;
  const char* expected;  // part of the message
};

std::string tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"w":)" + tensor(dtype, shape, offsets) + "}";
}

const std::string kF32 = R"("F32")";

std::vector<Malformed> malformed_headers() {
  return {
      {"empty header", "", 0, "header: not valid JSON"},
      {"no JSON", "hello", 0, "header: not valid JSON"},
      {"cut JSON", R"({"w":)", 0, "header: not valid JSON"},
      {"text after the JSON", "{} {}", 0, "header: not valid JSON"},
      {"not UTF-8", "{\"\xff\":1}", 0, "header: not valid JSON"},
      {"deep JSON", std::string(50'000, '[') + std::string(50'000, ']'), 0, "not valid JSON"},
      {"an array", "[]", 0, "header: expected a JSON object"},
      {"entry not an object", R"({"w":1})", 0, "tensor 'w': expected an object"},
      {"no keys", R"({"w":{}})", 0, "expected the keys dtype, shape and data_offsets"},
      {"a key missing", R"({"w":{"dtype":"F32","shape":[1]}})", 4, "tensor 'w': expected the keys"},
      {"a key twice", R"({"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
       "key 'dtype' appears twice"},
      {"another key", R"({"w":{"dtype":"F32","size":4}})", 4, "unknown key 'size'"},
      {"unknown dtype", one(R"("F8_E4M3")", "[4]", "[0,4]"), 4,
       "tensor 'w': dtype 'F8_E4M3' is not supported (expected F32, F16"},
      {"dtype a number", one("4", "[4]", "[0,4]"), 4, "dtype: expected a string"},
      {"shape a number", one(kF32, "4", "[0,4]"), 4, "shape: expected an array of integers"},
      {"negative shape", one(kF32, "[-1]", "[0,4]"), 4, "shape: expected integers from 0 on"},
      {"fractional shape", one(kF32, "[1.0]", "[0,4]"), 4, "shape: expected integers from 0 on"},
      {"shape beyond int64", one(kF32, "[18446744073709551615]", "[0,4]"), 4,
       "shape: expected integers from 0 on"},
      {"too many dimensions", one(kF32, "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4,
       "more than 8 dimensions"},
      {"shape overflows", one(kF32, "[4294967296,4294967296,4]", "[0,4]"), 4,
       "its shape overflows"},
      {"bytes overflow", one(kF32, "[9223372036854775807]", "[0,4]"), 4, "its shape overflows"},
      {"overflow hidden by a zero", one(kF32, "[4294967296,4294967296,0]", "[0,0]"), 0,
       "its shape overflows"},
      {"one offset", one(kF32, "[1]", "[0]"), 4, "data_offsets: expected two integers"},
      {"three offsets", one(kF32, "[1]", "[0,4,8]"), 4, "data_offsets: expected two integers"},
      {"negative offset", one(kF32, "[1]", "[-4,0]"), 4, "data_offsets: expected two integers"},
      {"end before begin", one(kF32, "[1]", "[4,0]"), 4, "begin 4 is after end 0"},
      {"end past the data", one(kF32, "[2]", "[0,8]"), 4,
       "end 8 is past the data section's 4 bytes"},
      {"huge end", one(kF32, "[1]", "[18446744073709551612,18446744073709551615]"), 4,
       "is past the data section's 4 bytes"},
      {"shape too small", one(kF32, "[1]", "[0,8]"), 8,
       "its shape takes 4 bytes, its data_offsets 8"},
      {"shape too large", one(kF32, "[3]", "[0,8]"), 8,
       "its shape takes 12 bytes, its data_offsets 8"},
      {"a gap before", one(kF32, "[1]", "[4,8]"), 8, "begins at 4, expected 0: there is a gap"},
      {"unused data", one(kF32, "[1]", "[0,4]"), 8,
       "the tensors end at byte 4 of a data section of 8 bytes"},
      {"data without tensors", "{}", 4, "the tensors end at byte 0"},
      {"overlap",
       R"({"v":)" + tensor(kF32, "[2]", "[0,8]") + R"(,"w":)" + tensor(kF32, "[1]", "[4,8]") + "}",
       8, "tensor 'w': data_offsets: begins at 4, expected 8: it overlaps another tensor"},
      {"same place twice",
       R"({"v":)" + tensor(kF32, "[1]", "[0,4]") + R"(,"w":)" + tensor(kF32, "[1]", "[0,4]") + "}",
       4, "it overlaps another tensor"},
      {"same name twice",
       R"({"w":)" + tensor(kF32, "[1]", "[0,4]") + R"(,"w":)" + tensor(kF32, "[1]", "[4,8]") + "}",
       8, "tensor 'w' appears twice"},
      {"metadata a string", R"({"__metadata__":"x"})", 0, "__metadata__: expected an object"},
      {"metadata of numbers", R"({"__metadata__":{"a":1}})", 0, "key 'a': expected a string"},
      {"metadata twice", R"({"__metadata__":{},"__metadata__":{}})", 0,
       "__metadata__ appears twice"},
  };
}

void expect_error(const std::string& bytes, const std::string& expected, const std::string& what) {
  auto result = parse(bytes);
  ASSERT_FALSE(result.ok()) << what;
  EXPECT_TRUE(result.message().starts_with("bad.safetensors: ")) << what << result.message();
  EXPECT_NE(result.message().find(expected), std::string::npos) << what << ": " << result.message();
}

TEST(SafetensorsMalformed, EveryLieIsNamed) {
  for (const Malformed& file : malformed_headers())
    expect_error(safetensors_bytes(file.header, std::string(file.data_bytes, 'x')), file.expected,
                 file.what);
}

TEST(SafetensorsMalformed, LyingHeaderLengths) {
  expect_error("", "0 bytes, at least 8 expected", "empty");
  expect_error("1234567", "7 bytes, at least 8 expected", "short");
  expect_error(std::string(8, '\xff'), "at most 100000000 expected", "huge");
  expect_error(std::string("\x03\0\0\0\0\0\0\0{}", 10), "header of 3 bytes in a file of 10",
               "long");
}

TEST(SafetensorsMalformed, EveryPrefixIsRefused) {
  const std::string whole =
      safetensors_bytes(R"({"__metadata__":{"a":"b"},"v":)" + tensor(kF32, "[2,1]", "[0,8]") +
                            R"(,"w":)" + tensor(R"("BF16")", "[3]", "[8,14]") + "}",
                        std::string(14, 'x'));
  ASSERT_TRUE(parse(whole).ok()) << parse(whole).message();
  for (size_t length = 0; length < whole.size(); ++length)
    EXPECT_FALSE(parse(whole.substr(0, length)).ok()) << length;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int change : {0x01, 0x80, 0xff, 0x10}) {  // no claim but that nothing breaks
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ change);
      (void)parse(bytes).ok();
    }
  }
}

TEST(SafetensorsMalformed, FilesThatCannotBeOpenedAreNamed) {
  EXPECT_NE(Safetensors::open("/nonexistent/x").message().find("/nonexistent/x"),
            std::string::npos);
  EXPECT_NE(Safetensors::open_directory("/nonexistent").message().find("/nonexistent"),
            std::string::npos);
}

}  // namespace
}  // namespace dspark::formats
