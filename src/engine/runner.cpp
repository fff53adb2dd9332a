#include "engine/runner.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"
#include "base/random.h"
#include "checkpoint/identity.h"
#include "zaya/error.h"

namespace zaya {

Runner::Runner(std::shared_ptr<const Checkpoint> checkpoint, const RunnerOptions& options)
    : Runner(checkpoint, options,
             options.kv_policy.empty()
                 ? uniform_kv_policy(checkpoint->config(), options.kv_cache_dtype)
                 : read_kv_policy(options.kv_policy, checkpoint->config())) {}

Runner::Runner(std::shared_ptr<const Checkpoint> checkpoint, const RunnerOptions& options,
               KvPolicy kv)
    : model_(std::move(checkpoint), options.compute,
             kernels_of(selected_isa(), options.deterministic), std::move(kv)),
      pool_(options.threads),
      pages_(std::make_shared<PagePool>(options.kv_memory.value_or(PagePool::kUnlimited))),
      initial_tail_(std::make_shared<const std::vector<float>>(model_.initial_tail())),
      chunk_(std::max<std::size_t>(1, options.chunk)) {
  if (options.screen_head) model_.screen_head(pool_);
}

Sequence Runner::new_sequence(std::shared_ptr<const Adapter> adapter) {
  return {model_.layout(), pages_, initial_tail_, std::move(adapter)};
}

Sequence Runner::synthetic_sequence(std::size_t length, std::uint64_t seed) {
  Random random(seed);
  std::vector<TokenId> tokens(length);
  for (TokenId& t : tokens) t = static_cast<TokenId>(random.next() % config().vocab);
  // A few pages of random numbers, again and again: to draw each would take longer than to compute
  // K and V.
  constexpr std::size_t kKinds = 8;
  constexpr std::size_t kPage = StateLayout::kPageTokens;
  const StateLayout& layout = model_.layout();
  const AttentionKernels& kernels = model_.kernels().attention;
  Sequence sequence = new_sequence();
  const SequenceView view = sequence.begin_step(length);
  std::vector<float> x(layout.kv_dim());
  const auto draw = [&](const KvKernels& kind, std::byte* part, std::size_t position) {
    std::generate_n(x.begin(), config().head_dim,
                    [&] { return static_cast<float>(random.normal()); });
    kind.write(part, layout.kv_dim(), position, x.data());
  };
  for (std::size_t layer = 0; layer < layout.layers(); ++layer) {
    const KvKernels& keys = kernels.keys[static_cast<std::size_t>(layout.kv(layer).keys)];
    const KvKernels& values = kernels.values[static_cast<std::size_t>(layout.kv(layer).values)];
    const auto pages = view.pages[layer];
    for (std::size_t p = 0; p < pages.size(); ++p) {
      if (p >= kKinds) {
        std::memcpy(pages[p], pages[random.next() % kKinds], layout.page_bytes(layer));
        continue;
      }
      for (std::size_t i = 0; i < config().kv_heads * kPage; ++i) {
        draw(keys, pages[p] + layout.keys_offset(layer, i / kPage), i % kPage);
        draw(values, pages[p] + layout.values_offset(layer, i / kPage), i % kPage);
      }
    }
  }
  sequence.end_step(tokens);
  return sequence;
}

std::span<const float> Runner::step(std::span<const Item> items, Trace* trace) {
  for (const Item& item : items) {
    if (item.tokens.size() <= item.drafts) {
      throw Error({.where = "step", .what = "a sequence has no new tokens besides a draft"});
    }
    model_.check_tokens(item.tokens);
    const std::size_t length = item.sequence.length() + item.tokens.size();
    if (length > config().max_positions) {
      throw Error({.where = "context",
                   .what = "the sequence would be longer than the model's context",
                   .expected = fmt::format("at most {} tokens", config().max_positions),
                   .found = fmt::format("{} tokens", length)});
    }
  }
  std::vector<StepItem> batch;
  batch.reserve(items.size());
  try {
    for (const Item& item : items) {
      batch.push_back(
          {item.sequence.begin_step(item.tokens.size(), item.drafts), item.tokens, item.logits});
    }
  } catch (...) {
    for (std::size_t i = 0; i < batch.size(); ++i) items[i].sequence.cancel_step();
    throw;
  }
  model_.forward(batch, activations_, pool_, trace);
  for (const Item& item : items) item.sequence.end_step(item.tokens);
  return activations_.logits;
}

std::span<const float> Runner::feed(Sequence& sequence, std::span<const TokenId> tokens,
                                    const Progress& progress, Logits wanted) {
  std::span<const float> logits;
  for (std::size_t done = 0; done < tokens.size();) {
    const std::size_t n = std::min(chunk_, tokens.size() - done);
    const bool last = done + n == tokens.size();
    const Item item{sequence, tokens.subspan(done, n), last ? wanted : Logits::none};
    logits = step({&item, 1});
    done += n;
    report(progress, done, tokens.size());
  }
  return logits;
}

void Runner::rollback(Sequence& sequence, std::size_t n) {
  if (n == 0) return;
  if (n > sequence.length()) {
    throw Error({.where = "rollback",
                 .what = "more tokens to forget than the sequence has",
                 .expected = fmt::format("at most {}", sequence.length()),
                 .found = std::to_string(n)});
  }
  StepItem item{sequence.begin_rollback(sequence.length() - n), {}, Logits::none};
  item.tokens = std::span(sequence.tokens()).subspan(item.state.position);
  if (!item.tokens.empty()) model_.forward({&item, 1}, activations_, pool_);
  sequence.end_rollback();
}

const SessionOwner& Runner::session_owner() {
  if (!session_owner_) {
    session_owner_ = {.checkpoint = checkpoint_identity(model_.checkpoint()),
                      .compute = model_.compute() == Compute::f32 ? "f32" : "fast"};
  }
  return *session_owner_;
}

void Runner::save_session(const Sequence& sequence, const std::filesystem::path& file) {
  write_session(file, sequence, model_.layout(), session_owner());
}

Sequence Runner::load_session(const std::filesystem::path& file,
                              const std::function<void(std::size_t bytes)>& make_room) {
  const MappedFile bytes(file);
  const SessionFile session(bytes.bytes(), file.string(), model_.layout(), session_owner());
  session.verify();
  model_.check_tokens(session.tokens());
  if (session.tokens().size() > config().max_positions) {
    throw Error({.where = file.string(),
                 .what = "the session is longer than the model's context",
                 .expected = fmt::format("at most {} tokens", config().max_positions),
                 .found = fmt::format("{} tokens", session.tokens().size())});
  }
  Sequence sequence = new_sequence();
  if (make_room) make_room(session.kv_bytes());
  session.restore(sequence);
  return sequence;
}

}  // namespace zaya
