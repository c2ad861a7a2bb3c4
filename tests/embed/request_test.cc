// What requests may say, and structs of older and newer hosts.
#include <dspark/dspark.h>
#include <gtest/gtest.h>

#include <cstring>

#include "engine/support.h"

namespace dspark {
namespace {

class RequestTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string model = engine::testing::tiny_model().string();
    dspark_engine_options options{};
    options.struct_size = sizeof options;
    options.model = model.c_str();
    options.threads = 1;
    ASSERT_EQ(dspark_open(&options, &engine_), DSPARK_OK) << dspark_last_error();
    request_.struct_size = sizeof request_;
    request_.ids = ids_.data();
    request_.id_count = ids_.size();
    request_.max_tokens = 3;
  }
  void TearDown() override { EXPECT_EQ(dspark_close(engine_), DSPARK_OK); }

  void refused(dspark_code code, const char* part) {
    dspark_result* result = reinterpret_cast<dspark_result*>(1);
    EXPECT_EQ(dspark_generate(engine_, &request_, &result), code) << part;
    EXPECT_EQ(result, nullptr);
    EXPECT_NE(std::string(dspark_last_error()).find(part), std::string::npos)
        << dspark_last_error();
  }
  std::vector<int32_t> generated() {
    dspark_result* result = nullptr;
    EXPECT_EQ(dspark_generate(engine_, &request_, &result), DSPARK_OK) << dspark_last_error();
    if (result == nullptr) return {};
    std::vector<int32_t> ids(result->ids, result->ids + result->id_count);
    dspark_result_free(result);
    return ids;
  }

  std::vector<int32_t> ids_ = {1, 2, 3};
  dspark_engine* engine_ = nullptr;
  dspark_request request_{};
};

TEST_F(RequestTest, NamesWhatIsWrong) {
  request_.temperature = -1;
  refused(DSPARK_ERROR_REQUEST, "temperature");
  request_.temperature = 0;
  request_.max_tokens = -1;
  refused(DSPARK_ERROR_REQUEST, "max tokens");
  request_.max_tokens = 3;
  request_.stop_count = 1;
  refused(DSPARK_ERROR_ARGUMENT, "stop");
  request_.stop_count = 0;
  request_.logit_bias_count = 1;
  refused(DSPARK_ERROR_ARGUMENT, "logit_bias");
  request_.logit_bias_count = 0;
  request_.text = "hello";
  refused(DSPARK_ERROR_ARGUMENT, "2 of text, chat and ids");
  request_.ids = nullptr;
  request_.text = nullptr;
  refused(DSPARK_ERROR_ARGUMENT, "0 of text, chat and ids");
  request_.chat = "[";
  refused(DSPARK_ERROR_REQUEST, "chat");
  request_.chat = "3";
  refused(DSPARK_ERROR_REQUEST, "messages");
  const std::string deep = std::string(1000, '[') + std::string(1000, ']');
  request_.chat = deep.c_str();
  refused(DSPARK_ERROR_REQUEST, "64 deep");
  EXPECT_EQ(dspark_generate(nullptr, &request_, nullptr), DSPARK_ERROR_ARGUMENT);
  EXPECT_EQ(dspark_submit(engine_, &request_, nullptr, nullptr), DSPARK_ERROR_ARGUMENT);
}

TEST_F(RequestTest, SettingsReachTheEngine) {
  const dspark_logit_bias bias{77, 1e6f};
  request_.logit_bias = &bias;
  request_.logit_bias_count = 1;
  EXPECT_EQ(generated(), (std::vector<int32_t>{77, 77, 77}));
  request_.frequency_penalty = 3e6f;
  const std::vector<int32_t> penalised = generated();
  EXPECT_EQ(penalised[0], 77);
  EXPECT_NE(penalised[1], 77);
}

TEST_F(RequestTest, TextIsEncodedAndDecoded) {
  const std::string text = "hello w\xc3\xb6rld";
  int32_t* ids = nullptr;
  size_t count = 0;
  ASSERT_EQ(dspark_tokenize(engine_, text.data(), text.size(), 0, &ids, &count), DSPARK_OK);
  ASSERT_GT(count, 0u);
  char* back = nullptr;
  size_t bytes = 0;
  ASSERT_EQ(dspark_detokenize(engine_, ids, count, 0, &back, &bytes), DSPARK_OK);
  EXPECT_EQ(std::string(back, bytes), text);
  EXPECT_EQ(std::strlen(back), bytes);
  dspark_free(back);
  const std::vector<int32_t> given = [&] {
    request_.ids = ids, request_.id_count = count;
    return generated();
  }();
  request_.ids = nullptr;
  request_.text = text.c_str();
  request_.raw = 1;
  EXPECT_EQ(generated(), given);
  dspark_free(ids);
  const int32_t outside = 1 << 20;
  EXPECT_EQ(dspark_detokenize(engine_, &outside, 1, 0, &back, &bytes), DSPARK_ERROR_ARGUMENT);
}

TEST_F(RequestTest, StructsMayBeLongerAsLongAsTheyAskForNothingNew) {
  struct Newer {
    dspark_request request;
    int64_t field;
  };
  const std::vector<int32_t> expected = generated();
  Newer newer{request_, 0};
  newer.request.struct_size = sizeof newer;
  dspark_result* result = nullptr;
  ASSERT_EQ(dspark_generate(engine_, &newer.request, &result), DSPARK_OK) << dspark_last_error();
  EXPECT_EQ(std::vector<int32_t>(result->ids, result->ids + result->id_count), expected);
  dspark_result_free(result);
  newer.field = 1;
  EXPECT_EQ(dspark_generate(engine_, &newer.request, &result), DSPARK_ERROR_ARGUMENT);
  EXPECT_NE(std::string(dspark_last_error()).find("newer"), std::string::npos);
}

}  // namespace
}  // namespace dspark
