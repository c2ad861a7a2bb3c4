// Ragged rows and roll-back: a request may bring several rows to a step and take some of them back;
// what follows has the same bits as if they had never been.
#include <gtest/gtest.h>

#include <cstring>

#include "engine/support.h"
#include "model/model.h"

namespace dspark::model {
namespace {

struct ModelCase {
  const char* name;
  std::filesystem::path (*path)();
  std::optional<DType> quantise;
};

class RollbackTest : public ::testing::TestWithParam<ModelCase> {
 protected:
  static constexpr int64_t kContext = 1024;
  RollbackTest() {
    auto loaded = load_model(GetParam().path(), {GetParam().quantise, {}}, pool_);
    CHECK(loaded.ok(), "{}", loaded.message());
    model_ = loaded.take();
    pages_ = std::make_unique<kv::PagePool>(kv::Shape(model_->cache_layers()), 48);
    forward_ = std::make_unique<Forward>(*model_, *compute::kernels("auto"), pool_, *pages_,
                                         Limits{64, 64, kContext});
  }

  // Logits of every row of one step over several sequences.
  std::vector<std::vector<float>> step(
      const std::vector<std::pair<kv::Sequence*, std::vector<int32_t>>>& parts) {
    std::vector<int32_t> tokens, wanted;
    std::vector<Segment> segments;
    for (const auto& [sequence, ids] : parts) {
      CHECK(sequence->reserve(sequence->length() + static_cast<int64_t>(ids.size())));
      segments.push_back({sequence, static_cast<int>(tokens.size()), static_cast<int>(ids.size()),
                          sequence->length()});
      tokens.insert(tokens.end(), ids.begin(), ids.end());
    }
    for (size_t i = 0; i < tokens.size(); ++i) wanted.push_back(static_cast<int32_t>(i));
    forward_->run({tokens, segments, wanted, {}, nullptr});
    for (const auto& [sequence, ids] : parts) sequence->extend(static_cast<int64_t>(ids.size()));
    std::vector<std::vector<float>> logits;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const auto row = forward_->logits(static_cast<int>(i));
      logits.emplace_back(row.begin(), row.end());
    }
    return logits;
  }

  ThreadPool pool_{2};
  std::unique_ptr<Model> model_;
  std::unique_ptr<kv::PagePool> pages_;
  std::unique_ptr<Forward> forward_;
};

INSTANTIATE_TEST_SUITE_P(
    Models, RollbackTest,
    ::testing::Values(ModelCase{"qwen3", engine::testing::tiny_model, {}},
                      ModelCase{"gemma4", engine::testing::tiny_gemma4, {}},
                      ModelCase{"gemma4_q8_0", engine::testing::tiny_gemma4, DType::kQ8_0},
                      ModelCase{"gemma4_wide", engine::testing::tiny_gemma4_wide, DType::kQ8_0}),
    [](const auto& info) { return std::string(info.param.name); });

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST_P(RollbackTest, RejectedRowsLeaveNoTrace) {
  std::vector<int32_t> text;
  for (int i = 0; i < 140; ++i) text.push_back((i * 37 + 11) % 256);
  kv::Sequence plain(*pages_), ragged(*pages_);
  std::vector<std::vector<float>> expected;
  for (int32_t id : text) expected.push_back(step({{&plain, {id}}})[0]);
  // The same text in steps of 1..8 rows of which a prefix is right and the rest are wrong and taken
  // back.
  size_t at = 0;
  for (int cycle = 0; at < text.size(); ++cycle) {
    const size_t right = std::min<size_t>(1 + static_cast<size_t>(cycle) % 5, text.size() - at);
    std::vector<int32_t> rows(text.begin() + static_cast<std::ptrdiff_t>(at),
                              text.begin() + static_cast<std::ptrdiff_t>(at + right));
    for (int wrong = 0; wrong < cycle % 4; ++wrong) rows.push_back(200 - wrong);
    const auto got = step({{&ragged, rows}});
    for (size_t i = 0; i < right; ++i)
      ASSERT_TRUE(same(got[i], expected[at + i])) << "position " << at + i;
    at += right;
    ragged.truncate(static_cast<int64_t>(at));
  }
}

// Long contexts are split among threads by blocks when few rows run: the same bits as by chunks.
TEST_P(RollbackTest, LongContextsBySingleRowsAndByChunks) {
  constexpr size_t kRows = 720, kAlone = 640;
  std::vector<int32_t> text;
  for (size_t i = 0; i < kRows; ++i) text.push_back(static_cast<int32_t>((i * 37 + 11) % 256));
  const auto part = [&](size_t begin, size_t end) {
    return std::vector<int32_t>(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                text.begin() + static_cast<std::ptrdiff_t>(end));
  };
  kv::Sequence chunks(*pages_), single(*pages_);
  std::vector<std::vector<float>> expected;
  for (size_t at = 0; at < kRows; at += 60)
    for (auto& row : step({{&chunks, part(at, at + 60)}})) expected.push_back(std::move(row));
  for (size_t at = 0; at < kAlone; at += 16) step({{&single, part(at, at + 16)}});
  for (size_t at = kAlone; at < kRows;) {
    const size_t rows = std::min<size_t>(1 + at % 6, kRows - at);
    const auto got = step({{&single, part(at, at + rows)}});
    for (size_t i = 0; i < rows; ++i)
      ASSERT_TRUE(same(got[i], expected[at + i])) << "position " << at + i;
    at += rows;
  }
}

TEST_P(RollbackTest, RaggedNeighboursDoNotMatter) {
  kv::Sequence a(*pages_), b(*pages_), c(*pages_), alone(*pages_);
  const std::vector<int32_t> prompt{5, 6, 7, 8, 9};
  const auto together =
      step({{&a, prompt}, {&b, {1}}, {&c, {3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3}}});
  const auto single = step({{&alone, prompt}});
  for (size_t i = 0; i < prompt.size(); ++i) EXPECT_TRUE(same(together[i], single[i]));
}

}  // namespace
}  // namespace dspark::model
