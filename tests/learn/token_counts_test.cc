#include "learn/support.h"

namespace dspark::learn {
namespace {

TokenCounts counted() {
  TokenCounts counts(8);
  const std::vector<int32_t> ids = {5, 5, 5, 2, 2, 7, 7, 1, 0};
  const std::vector<uint8_t> mask = {1, 1, 1, 1, 1, 1, 1, 1, 0};
  CHECK(counts.add(ids, mask).ok());
  return counts;
}

TEST(TokenCounts, CountWhatIsTrainedOn) {
  TokenCounts counts = counted();
  EXPECT_EQ(counts.counts(), (std::vector<int64_t>{0, 1, 2, 0, 0, 3, 0, 2}));
  EXPECT_EQ(counts.total(), 8);
  EXPECT_EQ(counts.distinct(), 4);
  for (const int32_t id : {-1, 8}) {
    const std::vector<int32_t> ids = {1, id};
    const std::vector<uint8_t> mask = {1, 1};
    EXPECT_FALSE(counts.add(ids, mask).ok());
  }
  EXPECT_EQ(counts.total(), 8);  // all or nothing
}

TEST(DraftVocabulary, TheMostFrequentTiesToTheSmaller) {
  const TokenCounts counts = counted();
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(draft_vocabulary(counts, 0), Ids{});
  EXPECT_EQ(draft_vocabulary(counts, 1), Ids{5});
  EXPECT_EQ(draft_vocabulary(counts, 2), (Ids{2, 5}));
  EXPECT_EQ(draft_vocabulary(counts, 3), (Ids{2, 5, 7}));
  EXPECT_EQ(draft_vocabulary(counts, 5), (Ids{0, 1, 2, 5, 7}));
  EXPECT_EQ(draft_vocabulary(counts, 100).size(), 8u);
}

TEST(Coverage, IsTheirShare) {
  const TokenCounts counts = counted();
  EXPECT_DOUBLE_EQ(coverage(counts, draft_vocabulary(counts, 2)), 5.0 / 8);
  EXPECT_DOUBLE_EQ(coverage(counts, draft_vocabulary(counts, 4)), 1);
  EXPECT_DOUBLE_EQ(coverage(TokenCounts(3), std::vector<int32_t>{0}), 0);
}

}  // namespace
}  // namespace dspark::learn
