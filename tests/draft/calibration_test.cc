// Calibrations in our own form: kept through a file, refused where they lie, said to be lost where
// a form has no place for them.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "draft/support.h"

namespace dspark::draft {
namespace {

namespace fs = std::filesystem;
using formats::GgufArray;
using verify::Mode;

std::vector<StoredCalibration> some_calibrations() {
  StoredCalibration greedy;
  greedy.fit = {Mode::kGreedy, 0, {{0.5, 1.25, 2, 5}, {}}};
  greedy.target = "target.gguf";
  greedy.target_xxh3 = "0123456789abcdef";
  greedy.data = {{"a.jsonl", "00000000000000aa"}, {"b.jsonl", "00000000000000bb"}};
  greedy.prompts = 40;
  greedy.cycles = 40123;
  greedy.program = "0.1.0";
  StoredCalibration coupled = greedy, rejection = greedy;
  coupled.fit = {Mode::kCoupled, 0.5, {{1, 1, 1, 1}, {0.5, -1, 0, 2}}};
  rejection.fit = {Mode::kRejection, 1, {{2, 2, 2, 2}, {}}};
  return {greedy, coupled, rejection};
}

DrafterConfig calibrated_config() {
  DrafterConfig config = small_config();
  config.calibrations = some_calibrations();
  return config;
}

void expect_same(const std::vector<StoredCalibration>& a, const std::vector<StoredCalibration>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].fit.mode, b[i].fit.mode);
    EXPECT_EQ(a[i].fit.temperature, b[i].fit.temperature);
    EXPECT_EQ(a[i].fit.calibration.temperatures, b[i].fit.calibration.temperatures);
    EXPECT_EQ(a[i].fit.calibration.offsets, b[i].fit.calibration.offsets);
    EXPECT_EQ(a[i].target, b[i].target);
    EXPECT_EQ(a[i].target_xxh3, b[i].target_xxh3);
    ASSERT_EQ(a[i].data.size(), b[i].data.size());
    for (size_t d = 0; d < a[i].data.size(); ++d) {
      EXPECT_EQ(a[i].data[d].name, b[i].data[d].name);
      EXPECT_EQ(a[i].data[d].xxh3, b[i].data[d].xxh3);
    }
    EXPECT_EQ(a[i].prompts, b[i].prompts);
    EXPECT_EQ(a[i].cycles, b[i].cycles);
    EXPECT_EQ(a[i].program, b[i].program);
  }
}

class Calibrated : public testing::Test {
 protected:
  void SetUp() override { write_own(good_, calibrated_config()); }
  template <class Change>
  void refused(const std::string& part, Change change) {
    SCOPED_TRACE(part);
    GgufParts parts(good_);
    change(parts);
    parts.write(bad_);
    expect_refused(bad_, part);
  }
  void key(const std::string& part, const std::string& name, formats::GgufValue value) {
    refused(part, [&](GgufParts& p) { p.keys["dspark." + name] = std::move(value); });
  }

  ScratchFolder scratch_;
  const fs::path good_ = scratch_ / "good.gguf", bad_ = scratch_ / "bad.gguf",
                 out_ = scratch_ / "out.gguf";
};

TEST_F(Calibrated, KeptThroughAFile) {
  const DrafterFile file = opened(good_);
  expect_same(file.config().calibrations, some_calibrations());
  EXPECT_TRUE(file.is_own_form());
  expect_converted(good_, out_);
  EXPECT_TRUE(bytes_of(good_) == bytes_of(out_));
}

TEST_F(Calibrated, WrittenInTheirPlace) {
  WriteOptions options;
  options.calibrations = std::vector{some_calibrations()[2]};
  // Over the file itself, which is mapped meanwhile.
  expect_converted(good_, good_, options);
  expect_same(opened(good_).config().calibrations, *options.calibrations);
  options.calibrations->clear();
  expect_converted(good_, out_, options);
  write_own(good_, small_config());
  EXPECT_TRUE(bytes_of(good_) == bytes_of(out_));
}

TEST_F(Calibrated, FingerprintIsOfDraftsAlone) {
  write_own(out_, small_config());
  EXPECT_EQ(fingerprint(opened(good_)), fingerprint(opened(out_)));
  DrafterConfig other = small_config();
  other.mask_token_id = 3;
  write_own(out_, other);
  EXPECT_NE(fingerprint(opened(good_)), fingerprint(opened(out_)));
  write_own(out_, small_config(), {.type = DType::kF16});
  EXPECT_NE(fingerprint(opened(good_)), fingerprint(opened(out_)));
}

TEST_F(Calibrated, LossIsSaid) {
  const auto report = converted(good_, scratch_ / "folder", {.layout = Layout::kDeepSpec});
  ASSERT_TRUE(report.ok());
  ASSERT_EQ(report.value().notes.size(), 1u);
  EXPECT_NE(report.value().notes[0].find("no place for calibrations: 3 left out"),
            std::string::npos);
  EXPECT_TRUE(opened(scratch_ / "folder").config().calibrations.empty());
  const auto changed = converted(good_, out_, {.type = DType::kQ8_0});
  ASSERT_TRUE(changed.ok());
  ASSERT_EQ(changed.value().notes.size(), 1u);
  EXPECT_NE(changed.value().notes[0].find("fitted before this change"), std::string::npos);
  EXPECT_EQ(opened(out_).config().calibrations.size(), 3u);
}

TEST_F(Calibrated, Malformed) {
  const std::string zero = "calibration.0.", one = "calibration.1.";
  for (const char* name : {"mode", "temperature", "form", "temperatures", "target", "target_xxh3",
                           "data", "data_xxh3", "prompts", "cycles", "program"})
    refused("key 'dspark.calibration.0." + std::string(name) + "' is missing",
            [&](GgufParts& p) { p.keys.erase("dspark.calibration.0." + std::string(name)); });
  refused("'dspark.calibration.1.offsets' is missing",
          [](GgufParts& p) { p.keys.erase("dspark.calibration.1.offsets"); });
  refused("'dspark.calibration.0.cycles' is unknown in version 1",
          [](GgufParts& p) { p.keys.erase("dspark.calibrations"); });
  key("'dspark.calibration.2.cycles' is unknown", "calibrations", uint64_t{2});
  key("dspark.calibrations: 65, expected 0 to 64", "calibrations", uint64_t{65});
  key("dspark.calibrations: -1", "calibrations", int64_t{-1});
  key("is unknown in version 1", zero + "offsets", GgufArray{std::vector<double>(4, 1)});
  key("is unknown in version 1", zero + "date", std::string("today"));
  key("is unknown in version 1", "calibration.x", std::string("today"));
  key("'block', expected greedy", zero + "mode", std::string("block"));
  key("'hopeful', expected greedy", zero + "mode", std::string("hopeful"));
  key("0 is greedy's alone", zero + "mode", std::string("coupled"));
  key("0 is greedy's alone", zero + "temperature", 0.5);
  key("temperature: -1", one + "temperature", -1.0);
  key("a finite number", one + "temperature", std::nan(""));
  refused("a second calibration of rejection at temperature 1", [](GgufParts& p) {
    p.keys["dspark.calibration.1.mode"] = std::string("rejection");
    p.keys["dspark.calibration.1.temperature"] = 1.0;
  });
  key("expected sts or scale_offset", zero + "form", std::string("isotonic"));
  for (const char* name : {"temperatures", "offsets"}) {
    key("3 numbers, expected 4, one a slot", one + name, GgufArray{std::vector<double>(3, 1)});
    key("0 numbers, expected 4", one + name, GgufArray{std::vector<double>()});
    key("an array of numbers", one + name, 1.5);
    key("finite numbers", one + name,
        GgufArray{std::vector<double>{1, 1, std::numeric_limits<double>::infinity(), 1}});
  }
  key("0 of slot 2, expected a number above 0", one + "temperatures",
      GgufArray{std::vector<double>{1, 1, 0, 1}});
  key("-2 of slot 0", one + "temperatures", GgufArray{std::vector<double>{-2, 1, 1, 1}});
  key("1 hashes of 2 files", zero + "data_xxh3", GgufArray{std::vector<std::string>{"x"}});
  key("cycles: -1, expected 0 or more", zero + "cycles", int64_t{-1});
  DrafterConfig blind = calibrated_config();
  blind.confidence_head = blind.confidence_with_markov = false;
  write_own(bad_, blind);
  expect_refused(bad_, "3 of a drafter without a confidence head");
}

}  // namespace
}  // namespace dspark::draft
