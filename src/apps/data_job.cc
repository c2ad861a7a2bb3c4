#include "apps/data_job.h"

#include <algorithm>

namespace dspark::apps {
namespace {

constexpr auto kBetweenSyncs = std::chrono::seconds(3);  // what a dead machine may lose
constexpr double kBytesPerToken = 11;                    // an id and its text, in JSON
constexpr double kShareOfMost = 0.6;                     // of --max-tokens, in a usual answer
constexpr uint64_t kSeedMask = (uint64_t{1} << 53) - 1;  // exact in any reader of JSON

void warn_of(const learn::Faults& faults, const char* what) {
  for (const std::string& message : faults.first) log_warning("{}", message);
  const auto more = faults.count - static_cast<int64_t>(faults.first.size());
  if (more > 0) log_warning("and {} more", more);
  if (faults.count > 0) log_warning("{} {}", faults.count, what);
}

// The rows that --offset and --limit choose.
void choose(learn::PromptSet& prompts, int64_t offset, int64_t limit) {
  auto& rows = prompts.rows;
  const auto skipped = std::min(static_cast<size_t>(offset), rows.size());
  rows.erase(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(skipped));
  if (limit > 0 && rows.size() > static_cast<size_t>(limit))
    rows.resize(static_cast<size_t>(limit));
}

double turns_of(const learn::Prompt& prompt) { return static_cast<double>(prompt.turns.size()); }

std::string megabytes(double bytes) { return fmt::format("{:.1f} MB", bytes / 1e6); }

}  // namespace

Json messages_of(const std::vector<learn::Message>& conversation) {
  Json messages = Json::array();
  for (const learn::Message& turn : conversation)
    messages.push_back(tokenizer::message(turn.role.c_str(), turn.content));
  return messages;
}

RegenerateJob::RegenerateJob(const RegenerateArguments& arguments, learn::PromptSet prompts,
                             learn::CorpusFile file)
    : arguments_(arguments),
      prompts_(std::move(prompts)),
      file_(std::move(file)),
      before_(file_.rows_done()) {}

Result<std::unique_ptr<RegenerateJob>> RegenerateJob::open(const RegenerateArguments& arguments,
                                                           Json answerer) {
  DSPARK_TRY(auto prompts, learn::read_prompts(arguments.prompts, arguments.strict));
  warn_of(prompts.faults, "rows of the prompts are left out");
  Json options = std::move(answerer);
  options["prompts"] = prompts.digest;
  options["system"] = arguments.has_system ? Json(arguments.system) : Json(nullptr);
  options["temperatures"] = arguments.temperatures;
  options["top_p"] = arguments.top_p;
  options["top_k"] = arguments.top_k;
  options["min_p"] = arguments.min_p;
  options["max_tokens"] = arguments.max_tokens;
  options["seed"] = arguments.seed;

  choose(prompts, arguments.offset, arguments.limit);
  if (prompts.rows.empty()) return fail("{}: --offset leaves no row", arguments.prompts);
  std::vector<std::string> ids;
  for (const learn::Prompt& prompt : prompts.rows) ids.push_back(prompt.id);
  DSPARK_TRY(auto file, learn::CorpusFile::open(arguments.out, ids));
  DSPARK_RETURN_IF_ERROR(
      learn::settle_corpus_options(arguments.out, options, file.rows_done() > 0));
  std::unique_ptr<RegenerateJob> job(
      new RegenerateJob(arguments, std::move(prompts), std::move(file)));
  DSPARK_RETURN_IF_ERROR(job->check_disk());
  if (job->before_ > 0)
    fmt::print(stderr, "{}: {} of {} rows are done\n", arguments.out, job->before_, ids.size());
  return job;
}

Status RegenerateJob::check_disk() const {
  double turns = 0;
  for (const learn::Prompt& prompt : prompts_.rows) turns += turns_of(prompt);
  // By what rows were so far, else by what answers usually are.
  const double rows = static_cast<double>(prompts_.rows.size());
  const double whole =
      before_ >= 100 ? static_cast<double>(file_.bytes()) / static_cast<double>(before_) * rows
                     : turns * arguments_.max_tokens * kShareOfMost * kBytesPerToken;
  // At the end the corpus is copied into order.
  const double needed = std::max(0.0, 2 * whole - static_cast<double>(file_.bytes()));
  const auto space = free_bytes(arguments_.out);
  if (!space) return {};  // not known here: writing will tell
  if (!nothing_left())
    fmt::print(stderr, "{}: about {} for {} rows\n", arguments_.out, megabytes(whole),
               prompts_.rows.size());
  if (needed > static_cast<double>(*space))
    return fail(
        "{}: needs about {} while it is made, the disk has {} free; fewer rows (--limit) or "
        "shorter answers (--max-tokens) need less",
        arguments_.out, megabytes(needed), megabytes(static_cast<double>(*space)));
  return {};
}

const learn::Prompt* RegenerateJob::next() {
  while (next_row_ < prompts_.rows.size() && file_.done(next_row_)) ++next_row_;
  return next_row_ < prompts_.rows.size() ? &prompts_.rows[next_row_++] : nullptr;
}

learn::CorpusRow RegenerateJob::start(const learn::Prompt& prompt) const {
  const uint64_t hash = learn::row_hash(arguments_.seed, prompt.id);
  learn::CorpusRow row;
  row.id = prompt.id;
  if (arguments_.has_system) row.conversations.push_back({"system", arguments_.system});
  row.temperature = arguments_.temperatures[(hash >> 40) % arguments_.temperatures.size()];
  row.seed = hash & kSeedMask;
  return row;
}

sample::Params RegenerateJob::sampling(const learn::CorpusRow& row) const {
  sample::Params params;
  params.temperature = static_cast<float>(row.temperature);
  params.top_k = arguments_.top_k;
  params.top_p = static_cast<float>(arguments_.top_p);
  params.min_p = static_cast<float>(arguments_.min_p);
  params.seed = row.seed;
  return params;
}

Status RegenerateJob::finished(const learn::Prompt& prompt, const learn::CorpusRow& row) {
  return file_.append(static_cast<size_t>(&prompt - prompts_.rows.data()), learn::to_line(row));
}

Status RegenerateJob::failed(const learn::Prompt& prompt, const std::string& message) {
  std::string text =
      fmt::format("{}:{}: {}: {}", arguments_.prompts, prompt.line, prompt.id, message);
  if (arguments_.strict) return Error{std::move(text)};
  failures_.add(std::move(text));
  return {};
}

Status RegenerateJob::tick() {
  const auto now = Clock::now();
  if (now >= next_sync_) {
    DSPARK_RETURN_IF_ERROR(file_.sync());
    next_sync_ = now + kBetweenSyncs;
  }
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const size_t done = file_.rows_done() + static_cast<size_t>(failures_.count);
  progress_.update(static_cast<double>(done - before_),
                   static_cast<double>(prompts_.rows.size() - before_),
                   fmt::format("{:.0f} tok/s", static_cast<double>(tokens_) / seconds));
  return {};
}

std::string RegenerateJob::summary() const {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  std::string text = fmt::format("{}: {} rows, {}", arguments_.out, file_.rows_done(),
                                 megabytes(static_cast<double>(file_.bytes())));
  if (tokens_ > 0)
    text += fmt::format("; {} tokens in {:.0f} s, {:.0f} tok/s", tokens_, seconds,
                        static_cast<double>(tokens_) / seconds);
  return text;
}

Result<bool> RegenerateJob::finish() {
  progress_.clear();
  warn_of(failures_, "rows could not be answered and are left out");
  if (file_.rows_done() + static_cast<size_t>(failures_.count) < prompts_.rows.size()) {
    DSPARK_RETURN_IF_ERROR(file_.sync());
    fmt::print(stderr, "{}\n", summary());
    log_warning("interrupted: {} of {} rows are done; the same command goes on from here",
                file_.rows_done(), prompts_.rows.size());
    return false;
  }
  DSPARK_RETURN_IF_ERROR(file_.sort());
  fmt::print(stderr, "{}\n", summary());
  return true;
}

}  // namespace dspark::apps
