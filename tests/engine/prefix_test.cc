// Rows that were known before, and requests that gave their pages up: nothing may differ from rows
// that are computed, neither text nor drafts.
#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <random>

#include "engine/support.h"
#include "kv/kv.h"
#include "sanitized.h"

namespace dspark::engine {
namespace {

using kv::PageId;
using testing::make_engine;
using testing::run_all;

class PrefixIndexTest : public ::testing::Test {
 protected:
  static std::vector<int32_t> text(int first, int64_t tokens) {
    std::vector<int32_t> ids(static_cast<size_t>(tokens));
    std::iota(ids.begin(), ids.end(), first);
    return ids;
  }
  // A request that computes all of its rows and ends.
  void run(kv::PrefixIndex& index, const std::vector<int32_t>& tokens, int64_t drafter_rows = 0) {
    kv::Sequence sequence(pool_);
    const auto rows = static_cast<int64_t>(tokens.size());
    ASSERT_TRUE(index.make_free((rows + kv::kPositions - 1) / kv::kPositions));
    ASSERT_TRUE(sequence.reserve(rows));
    sequence.extend(rows);
    index.add(tokens, rows, sequence.pages(), drafter_rows);
  }
  void expect_all_accounted(const kv::PrefixIndex& index) {
    EXPECT_EQ(pool_.free_pages() + index.pages(), pool_.pages());
    EXPECT_EQ(index.unused(), index.pages());
  }

  kv::PagePool pool_{kv::Shape({{1, 16, 2}}), 8};
};

TEST_F(PrefixIndexTest, FindsTheLongestBeginning) {
  kv::PrefixIndex index(pool_, 8, 0);
  run(index, text(0, 200));
  EXPECT_EQ(index.pages(), 3);  // the fourth is not full
  EXPECT_EQ(index.find(text(0, 200)).rows, 192);
  EXPECT_EQ(index.find(text(0, 100)).rows, 100);
  EXPECT_EQ(index.find(text(1, 100)).rows, 0);
  auto other = text(0, 100);
  other[70] = -1;
  const auto match = index.find(other);
  EXPECT_EQ(match.rows, 70);
  EXPECT_EQ(match.pages.size(), 2u);
  run(index, other);  // its second page is not full: nothing new
  EXPECT_EQ(index.pages(), 3);
  expect_all_accounted(index);
}

TEST_F(PrefixIndexTest, SaysWhichRowsTheDrafterHas) {
  kv::PrefixIndex index(pool_, 8, 0);
  run(index, text(0, 128), 80);
  EXPECT_EQ(index.find(text(0, 128)).rows, 128);
  EXPECT_EQ(index.find(text(0, 128)).drafter_rows, 80);
  EXPECT_EQ(index.find(text(0, 70)).drafter_rows, 70);
  run(index, text(0, 128), 128);  // has more of them: its pages replace the others
  EXPECT_EQ(index.find(text(0, 128)).drafter_rows, 128);
  run(index, text(0, 128), 0);
  EXPECT_EQ(index.find(text(0, 128)).drafter_rows, 128);
  expect_all_accounted(index);
}

TEST_F(PrefixIndexTest, RowsOfTheDrafterBehindOnesItLacksDoNotCount) {
  kv::PrefixIndex index(pool_, 8, 0);
  run(index, text(0, 64), 40);
  run(index, text(0, 128), 128);
  EXPECT_EQ(index.find(text(0, 128)).drafter_rows, 128);  // the longer one's first page replaced it
  run(index, text(1000, 64), 64);
  run(index, text(1000, 192), 100);
  EXPECT_EQ(index.find(text(1000, 192)).drafter_rows, 100);
  expect_all_accounted(index);
}

TEST_F(PrefixIndexTest, ARowThatLooksAheadIsKnownWithTheTokenBehindIt) {
  kv::PrefixIndex index(pool_, 8, 1);
  run(index, text(0, 130), 130);
  EXPECT_EQ(index.find(text(0, 130)).rows, 128);
  auto other = text(0, 130);
  other[64] = -1;
  EXPECT_EQ(index.find(other).rows, 63);
  run(index, other, 130);  // the same first page with another token behind it
  EXPECT_EQ(index.find(other).rows, 128);
  EXPECT_EQ(index.find(text(0, 130)).rows, 128);
  expect_all_accounted(index);
}

TEST_F(PrefixIndexTest, GivesSharedPagesAndACopyOfTheLast) {
  kv::PrefixIndex index(pool_, 8, 0);
  run(index, text(0, 128));
  {
    kv::Sequence sequence(pool_);
    const auto match = index.find(text(0, 100));
    *pool_.keys(match.pages[1], 0, 0) = 77;
    index.give(match, 99, sequence);
    EXPECT_EQ(sequence.length(), 99);
    ASSERT_EQ(sequence.pages().size(), 2u);
    EXPECT_EQ(sequence.pages()[0], match.pages[0]);
    EXPECT_NE(sequence.pages()[1], match.pages[1]);
    EXPECT_EQ(*pool_.keys(sequence.pages()[1], 0, 0), 77);
    EXPECT_EQ(pool_.users(match.pages[0]), 2);
    EXPECT_EQ(index.unused(), 1);  // its first page is used, its second is not
    EXPECT_FALSE(index.make_free(8));
    EXPECT_EQ(index.pages(), 1);
  }
  EXPECT_TRUE(index.make_free(8));
  expect_all_accounted(index);
}

TEST_F(PrefixIndexTest, ForgetsTheLongestUnused) {
  kv::PrefixIndex index(pool_, 4, 0);
  run(index, text(0, 128));
  run(index, text(1000, 128));
  EXPECT_EQ(index.find(text(0, 128)).rows, 128);
  run(index, text(2000, 64));  // a fifth page: the last of 1000's goes
  EXPECT_EQ(index.pages(), 4);
  EXPECT_EQ(index.find(text(1000, 128)).rows, 64);
  EXPECT_EQ(index.find(text(0, 128)).rows, 128);
  EXPECT_EQ(index.find(text(2000, 64)).rows, 64);
  expect_all_accounted(index);
  kv::PrefixIndex none(pool_, 0, 0);
  run(none, text(0, 128));
  EXPECT_EQ(none.find(text(0, 128)).rows, 0);
}

// Requests whose prompts begin alike in different lengths.
std::vector<Request> requests_of(size_t count, int tokens, unsigned seed = 8) {
  std::mt19937 random(seed);
  const auto draw = [&] { return static_cast<int32_t>(2 + random() % 400); };
  std::vector<int32_t> common(200);
  for (int32_t& id : common) id = draw();
  std::vector<Request> requests(count);
  for (size_t i = 0; i < count; ++i) {
    Request& r = requests[i];
    const size_t shared = i % 4 == 3 ? 0 : random() % common.size();
    r.prompt_ids.assign(common.begin(), common.begin() + static_cast<std::ptrdiff_t>(shared));
    for (size_t more = 1 + random() % 90; more > 0; --more) r.prompt_ids.push_back(draw());
    r.max_tokens = tokens;
    r.ignore_eos = true;
    r.record_confidence = true;
    if (i % 2 == 1) r.sampling.temperature = 0.9f, r.sampling.seed = i;
  }
  return requests;
}

void expect_same_as_cold(const std::vector<Completion>& got, const std::vector<Completion>& cold,
                         const std::string& where) {
  for (size_t i = 0; i < cold.size(); ++i) {
    EXPECT_EQ(got[i].ids, cold[i].ids) << where << ": request " << i;
    EXPECT_EQ(got[i].confidence_logits, cold[i].confidence_logits) << where << ": request " << i;
    ASSERT_EQ(got[i].cycles.size(), cold[i].cycles.size()) << where << ": request " << i;
    for (size_t c = 0; c < cold[i].cycles.size(); ++c) {
      EXPECT_EQ(got[i].cycles[c].drafted, cold[i].cycles[c].drafted) << where << ": request " << i;
      EXPECT_EQ(got[i].cycles[c].accepted, cold[i].cycles[c].accepted) << where << ": " << i;
    }
  }
}

struct Case {
  std::string target, drafter;
};

// preemptions: in caches that are too small, without and with known beginnings; added to.
void check(const Case& c, unsigned seed, std::array<int, 2>& preemptions) {
  const std::filesystem::path fixtures =
      std::filesystem::path(DSPARK_SOURCE_DIR) / "tests/fixtures";
  Options options;
  options.drafter = (fixtures / c.drafter / "draft").string();
  options.quantise = DType::kF16;
  options.threads = 1;
  options.planner = "full";
  options.max_running = 8;
  options.prefix_bytes = 0;
  const auto model = fixtures / c.target / "target";
  const std::vector<Request> requests =
      requests_of(dspark::testing::kSanitized ? 7 : 16, 170, seed);
  const auto cold_engine = make_engine(model, options);
  const auto cold = run_all(*cold_engine, requests, 8);
  int64_t accepted = 0;
  for (const Completion& done : cold) {
    EXPECT_EQ(done.cached_rows, 0);
    EXPECT_EQ(done.preemptions, 0);
    for (const Cycle& cycle : done.cycles) accepted += cycle.accepted;
  }
  EXPECT_GT(accepted, 0);

  options.prefix_bytes = size_t{64} << 20;
  const auto warm_engine = make_engine(model, options);
  expect_same_as_cold(run_all(*warm_engine, requests, 1), cold, c.drafter + ", first round");
  const auto warm = run_all(*warm_engine, requests, 8);
  expect_same_as_cold(warm, cold, c.drafter + ", second round");
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto prompt = static_cast<int64_t>(requests[i].prompt_ids.size());
    // The whole prompt but its last row lies in full pages of the first round.
    EXPECT_GE(warm[i].cached_rows, std::min(prompt - 1, (prompt + 169) / 64 * 64)) << i;
  }

  const size_t page = kv::kPositions * cold_engine->info().position_bytes;
  for (const bool known : {false, true}) {
    options.cache_bytes = (dspark::testing::kSanitized ? 9 : 12) * page;
    options.prefix_bytes = known ? 64 * page : 0;
    const auto tight = run_all(*make_engine(model, options), requests, 16);
    expect_same_as_cold(tight, cold, c.drafter + ", tight cache");
    for (const Completion& done : tight) preemptions[known ? 1 : 0] += done.preemptions;
  }
}

// Other requests each time, at night.
void check(const Case& c) {
  std::array<int, 2> preemptions = {};
  for (unsigned seed = 8; seed < (testing::nightly() ? 28 : 9); ++seed) check(c, seed, preemptions);
  EXPECT_GT(preemptions[0], 0);
  EXPECT_GT(preemptions[1], 0);
}

TEST(Prefixes, HitsAndPreemptionsChangeNothingOfDspark) {
  check({"qwen3_dspark_vanilla", "qwen3_dspark_vanilla"});
}
TEST(Prefixes, HitsAndPreemptionsChangeNothingOfEagle3) { check({"qwen3_eagle3", "qwen3_eagle3"}); }
TEST(Prefixes, HitsAndPreemptionsChangeNothingOfGemma4) {
  check({"gemma4_dspark", "gemma4_dspark"});
}

// Pages that a request without drafts left lack the drafter's rows. They are used all the same:
// what lies before is hidden from the drafter, and the text is the same.
TEST(Prefixes, RowsThatTheDrafterLacksAreHiddenFromIt) {
  const auto folder =
      std::filesystem::path(DSPARK_SOURCE_DIR) / "tests/fixtures/qwen3_dspark_vanilla";
  Options options;
  options.drafter = (folder / "draft").string();
  options.planner = "full";
  std::vector<Request> requests = requests_of(1, 60);
  requests[0].prompt_ids.resize(150, 5);
  const auto cold = run_all(*make_engine(folder / "target", options), requests, 1)[0];
  std::vector<Request> plain = requests;
  plain[0].never_draft = true;
  options.max_running = 1;  // a cache of some pages
  std::vector<float> confidences;
  for (const bool dirty : {false, true}) {
    const auto engine = make_engine(folder / "target", options);
    // What the drafter wrote to the pages for others before must not matter.
    if (dirty) run_all(*engine, requests_of(6, 170, 3), 1);
    EXPECT_EQ(run_all(*engine, plain, 1)[0].cached_rows, 0);
    EXPECT_EQ(run_all(*engine, plain, 1)[0].cached_rows, 149);
    for (int i = 0; i < 2; ++i) {
      const auto done = run_all(*engine, requests, 1)[0];
      EXPECT_EQ(done.cached_rows, 149);
      EXPECT_EQ(done.ids, cold.ids);
      EXPECT_NE(done.confidence_logits, cold.confidence_logits);
      if (confidences.empty()) confidences = done.confidence_logits;
      EXPECT_EQ(done.confidence_logits, confidences);
    }
  }
}

}  // namespace
}  // namespace dspark::engine
