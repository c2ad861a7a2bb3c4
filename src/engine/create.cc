// From a model's path to an engine ready to step.
#include <unistd.h>

#include <algorithm>

#include "engine/impl.h"

namespace dspark::engine {
namespace {

constexpr int64_t kMaxPromptChunk = 4096;

size_t quarter_of_memory() {
  return static_cast<size_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<size_t>(::sysconf(_SC_PAGESIZE)) / 4;
}

Status validate(const Options& options) {
  if (options.threads < 0 || options.threads > 1024)
    return fail("threads: {}, expected 0 to 1024", options.threads);
  if (options.max_running < 1 || options.max_running > 4096)
    return fail("requests in the batch: {}, expected 1 to 4096", options.max_running);
  if (options.prefill_chunk < 1 || options.prefill_chunk > kMaxPromptChunk)
    return fail("prefill chunk: {}, expected 1 to {}", options.prefill_chunk, kMaxPromptChunk);
  if (options.context < 0)
    return fail("context: {}, expected 0 (the model's) or more", options.context);
  if (options.draft_max < 0) return fail("most drafts: {}, expected 0 or more", options.draft_max);
  return {};
}

bool has_drafter(const Options& options) {
  return options.make_drafter || (!options.drafter.empty() && options.drafter != "none");
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::create(const std::filesystem::path& path, Options options) {
  const auto start = Clock::now();
  DSPARK_RETURN_IF_ERROR(validate(options));
  const compute::Kernels* kernels = compute::kernels(options.isa);
  if (kernels == nullptr)
    return fail(
        "instruction set \"{}\": unknown, or this machine lacks it; expected ref, avx2, avx512 or "
        "auto",
        options.isa);
  DSPARK_TRY(tokenizer::Tokenizer tokens, tokenizer::Tokenizer::open(path));
  auto impl = std::make_unique<Impl>(options, std::move(tokens));
  impl->kernels = kernels;
  DSPARK_RETURN_IF_ERROR(impl->load(path));
  if (has_drafter(options)) DSPARK_RETURN_IF_ERROR(impl->load_drafter(path));
  DSPARK_RETURN_IF_ERROR(impl->allot_cache());
  impl->info.load_ms = milliseconds_since(start);
  return std::unique_ptr<Engine>(new Engine(std::move(impl)));
}

Status Engine::Impl::load(const std::filesystem::path& path) {
  DSPARK_TRY(model, model::load_model(path, {options.quantise, options.load_progress}, pool));
  const model::Spec& spec = model->spec;
  if (tokenizer.vocab_size() > spec.vocab)
    return fail("{}: the tokenizer has {} tokens, the model only {}", path.string(),
                tokenizer.vocab_size(), spec.vocab);
  info.model = path.string();
  info.architecture = spec.architecture;
  info.isa = kernels->name;
  info.threads = pool.threads();
  info.context = options.context > 0 ? std::min(options.context, spec.context) : spec.context;
  info.vocab = spec.vocab;
  info.layers = spec.layers;
  info.hidden = spec.hidden;
  info.head_weights = int64_t{spec.vocab} * spec.hidden;
  info.layer_weights = model->layer_weights();
  info.weight_bytes = model->weight_bytes;
  info.verify = verify::mode_name(options.verify);
  return {};
}

Status Engine::Impl::load_drafter(const std::filesystem::path& target_path) {
  if (options.make_drafter || options.drafter == "ngram") return {};
  DSPARK_TRY(const draft::DrafterFile file,
             draft::DrafterFile::open(draft::without_lookup(options.drafter)));
  DSPARK_RETURN_IF_ERROR(draft::check_fits(file.config(), model->spec, tokenizer.fingerprint()));
  DSPARK_TRY(drafter_model,
             draft::load_drafter(file, *model, target_path,
                                 {options.quantise, options.draft_candidates, {}}, pool));
  return {};
}

// The cache, and what works on it: the forward pass, the drafter.
Status Engine::Impl::allot_cache() {
  std::vector<kv::LayerShape> layers = model->cache_layers();
  const int target_layers = static_cast<int>(layers.size());
  int scratch = 0;
  if (drafter_model != nullptr) {
    const auto more = drafter_model->decoder.cache_layers();
    layers.insert(layers.end(), more.begin(), more.end());
    scratch = drafter_model->config.slots() + 1;
    info.drafter_bytes = drafter_model->decoder.weight_bytes;
  }
  const kv::Shape shape(std::move(layers));
  const int64_t most_pages =
      (info.context + scratch + kv::kPositions - 1) / kv::kPositions * options.max_running;
  const size_t wanted = options.cache_bytes > 0 ? options.cache_bytes : quarter_of_memory();
  const int64_t page_count =
      std::min<int64_t>(most_pages, static_cast<int64_t>(wanted / shape.page_bytes()));
  if (page_count < 1)
    return fail("cache of {} bytes: expected at least one page of {} bytes", wanted,
                shape.page_bytes());
  pages = std::make_unique<kv::PagePool>(shape, page_count);
  info.cache_bytes = static_cast<size_t>(page_count) * shape.page_bytes();
  info.position_bytes = shape.page_bytes() / kv::kPositions;

  if (has_drafter(options)) {
    const draft::Place place{kernels,
                             &pool,
                             pages.get(),
                             target_layers,
                             Speculation::most_context_rows(options),
                             options.max_running,
                             info.context};
    auto drafter = options.make_drafter       ? options.make_drafter(place)
                   : drafter_model != nullptr ? draft::make_drafter(std::move(drafter_model), place)
                                              : draft::make_ngram();
    if (std::string_view(options.drafter).ends_with(draft::kLookup))
      drafter = draft::add_lookup(std::move(drafter));
    DSPARK_TRY(speculation, Speculation::create(std::move(drafter), options, info));
    info.drafter = speculation->drafter().name();
    info.planner = speculation->planner_name();
    info.draft_slots = speculation->slots();
  }
  prefixes = std::make_unique<kv::PrefixIndex>(
      *pages, static_cast<int64_t>(options.prefix_bytes / shape.page_bytes()),
      speculation != nullptr && speculation->drafter().looks_ahead() ? 1 : 0);
  const int decode_rows = options.max_running * (1 + info.draft_slots);
  const int rows = decode_rows + options.prefill_chunk;
  forward = std::make_unique<model::Forward>(
      *model, *kernels, pool, *pages,
      model::Limits{rows, std::min(rows, std::max(decode_rows, kScoreRows)), info.context});
  checkers.resize(static_cast<size_t>(pool.threads()));
  if (speculation != nullptr) speculation->allot(rows);
  shares.reserve(static_cast<size_t>(options.max_running));
  return {};
}

}  // namespace dspark::engine
