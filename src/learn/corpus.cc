#include "learn/corpus.h"

#include <algorithm>

#include "learn/line_reader.h"

namespace dspark::learn {

struct CorpusReader::Impl {
  Impl(LineReader lines, ReadOptions options, const tokenizer::Tokenizer* tokenizer)
      : lines(std::move(lines)),
        options(options),
        style(tokenizer ? template_style(tokenizer->chat_template(), "the target")
                        : fail("no model is given to render it with")) {
    if (tokenizer) encoder.emplace(*tokenizer, "the target");
  }

  Result<CorpusRow> read_row();
  void to_example(Example& example);

  LineReader lines;
  ReadOptions options;
  std::optional<tokenizer::PromptEncoder> encoder;
  Result<TemplateStyle> style;
  ReadCounts counts;
  CorpusRow row;
};

Result<CorpusRow> CorpusReader::Impl::read_row() {
  const std::string place = lines.place();
  if (lines.too_long()) return fail("{}: longer than {} bytes", place, kMaxRowBytes);
  DSPARK_TRY(CorpusRow found, parse_corpus_row(lines.text(), lines.number(), place));
  if (!found.ids.empty()) {
    if (options.vocab > 0)
      for (const int32_t id : found.ids)
        if (id >= options.vocab)
          return fail("{}: \"ids\": expected token ids below {}, found {}", place, options.vocab,
                      id);
    return found;
  }
  if (!style) return fail("{}: the row has no \"ids\": {}", place, style.message());
  auto masked = mask_conversation(found.conversations, *encoder, *style, options.max_length + 1);
  if (!masked) return fail("{}: {}", place, masked.message());
  found.ids = std::move(masked->ids);
  found.loss = std::move(masked->loss);
  return found;
}

void CorpusReader::Impl::to_example(Example& example) {
  const size_t length = std::min(row.ids.size(), options.max_length);
  if (length < row.ids.size()) ++counts.cut_rows;
  example.id = row.id;
  example.temperature = static_cast<float>(row.temperature);
  example.ids.assign(row.ids.begin(), row.ids.begin() + static_cast<std::ptrdiff_t>(length));
  example.loss_mask.assign(length, 0);
  for (const TokenRange& range : row.loss)
    for (auto i = static_cast<size_t>(range.begin); i < std::min<size_t>(range.end, length); ++i)
      example.loss_mask[i] = 1;
}

CorpusReader::CorpusReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CorpusReader::CorpusReader(CorpusReader&&) noexcept = default;
CorpusReader::~CorpusReader() = default;

Result<CorpusReader> CorpusReader::open(const std::filesystem::path& file, ReadOptions options,
                                        const tokenizer::Tokenizer* tokenizer) {
  DSPARK_TRY(LineReader lines, LineReader::open(file));
  return CorpusReader(std::make_unique<Impl>(std::move(lines), options, tokenizer));
}

Result<bool> CorpusReader::next(Example& example) {
  Impl& in = *impl_;
  for (;;) {
    DSPARK_TRY(const bool more, in.lines.next());
    if (!more) return false;
    if (in.lines.blank()) continue;
    auto row = in.read_row();
    if (!row) {
      if (in.options.strict) return row.error();
      in.counts.faults.add(row.message());
      continue;
    }
    in.row = row.take();
    in.to_example(example);
    if (std::count(example.loss_mask.begin(), example.loss_mask.end(), 1) <
        in.options.min_loss_tokens) {
      ++in.counts.short_rows;
      continue;
    }
    ++in.counts.rows;
    return true;
  }
}

const CorpusRow& CorpusReader::row() const { return impl_->row; }
const ReadCounts& CorpusReader::counts() const { return impl_->counts; }

}  // namespace dspark::learn
