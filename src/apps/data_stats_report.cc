#include <algorithm>
#include <numeric>

#include "apps/data_stats.h"

namespace dspark::apps {
namespace {

constexpr int kPercents[] = {10, 50, 90, 99, 100};

// Nearest rank: the smallest value that at least that share is not above. values: sorted.
int64_t percentile(const std::vector<int64_t>& values, int percent) {
  if (values.empty()) return 0;
  const size_t rank = (values.size() * static_cast<size_t>(percent) + 99) / 100;
  return values[std::max<size_t>(rank, 1) - 1];
}

double mean(const std::vector<int64_t>& values) {
  if (values.empty()) return 0;
  const auto sum = std::accumulate(values.begin(), values.end(), int64_t{0});
  return static_cast<double>(sum) / static_cast<double>(values.size());
}

Json lengths_json(std::vector<int64_t> values) {
  std::sort(values.begin(), values.end());
  Json json = {{"mean", mean(values)}};
  for (const int percent : kPercents)
    json[fmt::format("p{}", percent)] = percentile(values, percent);
  return json;
}

std::string lengths_line(const char* name, std::vector<int64_t> values) {
  std::sort(values.begin(), values.end());
  std::string line = fmt::format("{:<14} {:>8.1f}", name, mean(values));
  for (const int percent : kPercents) line += fmt::format(" {:>7}", percentile(values, percent));
  return line + "\n";
}

std::string counts_line(const char* name, const std::map<std::string, int64_t>& counts) {
  std::vector<std::string> parts;
  for (const auto& [key, count] : counts) parts.push_back(fmt::format("{} {}", key, count));
  return fmt::format("{:<14} {}\n", name, fmt::join(parts, ", "));
}

// DeepSpec's cache, version 2, of one token: its id, two masks, taps and the last hidden state.
int64_t cache_bytes_per_token(int hidden, int taps) { return 6 + 2 * int64_t{hidden} * (taps + 1); }

}  // namespace

std::vector<int32_t> shown_vocabularies(int32_t vocab, int32_t wanted) {
  std::vector<int32_t> sizes;
  for (int32_t size = 1024; size <= 32768; size *= 2) sizes.push_back(size);
  if (wanted > 0) sizes.push_back(wanted);
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  std::erase_if(sizes, [&](int32_t size) { return size > vocab; });
  return sizes;
}

std::string stats_table(const CorpusStats& stats, int32_t wanted_vocab, int taps) {
  const learn::ReadCounts& read = stats.read;
  std::string text =
      fmt::format("{:<14} {} used, {} with too few loss tokens, {} bad; {} cut\n", "rows",
                  read.rows, read.short_rows, read.faults.count, read.cut_rows);
  text += fmt::format("{:<14} {}, {} of them trained on, {} different\n", "tokens", stats.tokens,
                      stats.counts.total(), stats.counts.distinct());
  text += counts_line("temperature", stats.temperatures);
  text += counts_line("finish", stats.finishes);
  text += fmt::format("\n{:<14} {:>8}", "length", "mean");
  for (const int percent : kPercents) text += fmt::format(" {:>6}%", percent);
  text += "\n" + lengths_line("tokens", stats.lengths);
  text += lengths_line("loss tokens", stats.loss_lengths);
  text += fmt::format("\n{:<14} {:>8}\n", "draft vocab", "coverage");
  for (const int32_t size : shown_vocabularies(stats.counts.vocab(), wanted_vocab))
    text += fmt::format("{:<14} {:>7.2f}%\n", size,
                        1e2 * learn::coverage(stats.counts, draft_vocabulary(stats.counts, size)));
  const int64_t bytes = cache_bytes_per_token(stats.hidden, taps);
  text += fmt::format(
      "\nfeature cache, DeepSpec's version 2, {} taps: {} bytes a token, {:.1f} MB\n", taps, bytes,
      static_cast<double>(bytes) * static_cast<double>(stats.tokens) / 1e6);
  return text;
}

Json stats_json(const CorpusStats& stats, int32_t wanted_vocab, int taps) {
  const learn::ReadCounts& read = stats.read;
  Json coverage = Json::array();
  for (const int32_t size : shown_vocabularies(stats.counts.vocab(), wanted_vocab))
    coverage.push_back(
        {{"draft_vocab", size},
         {"coverage", learn::coverage(stats.counts, draft_vocabulary(stats.counts, size))}});
  const int64_t bytes = cache_bytes_per_token(stats.hidden, taps);
  return {{"rows", read.rows},
          {"short_rows", read.short_rows},
          {"bad_rows", read.faults.count},
          {"cut_rows", read.cut_rows},
          {"tokens", stats.tokens},
          {"loss_tokens", stats.counts.total()},
          {"distinct_tokens", stats.counts.distinct()},
          {"temperatures", stats.temperatures},
          {"finishes", stats.finishes},
          {"length", lengths_json(stats.lengths)},
          {"loss_length", lengths_json(stats.loss_lengths)},
          {"coverage", coverage},
          {"feature_cache",
           {{"taps", taps}, {"bytes_per_token", bytes}, {"bytes", bytes * stats.tokens}}}};
}

}  // namespace dspark::apps
