#include "engine/runner.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/random.h"
#include "zaya/error.h"

namespace zaya {

Runner::Runner(std::shared_ptr<const Checkpoint> checkpoint, RunnerOptions options)
    : model_(std::move(checkpoint), options.compute,
             kernels_of(selected_isa(), options.deterministic)),
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
  // Pages are cut from one array of random numbers at random places: to draw each number would take
  // longer than to compute K and V.
  constexpr std::size_t kNumbers = 1 << 16;
  const bool wide = model_.layout().kv_type() == DType::f32;
  const std::size_t bytes = kNumbers * dtype_size(model_.layout().kv_type());
  std::vector<std::byte> numbers(bytes);
  for (std::size_t i = 0; i < kNumbers; ++i) {
    const auto value = static_cast<float>(random.normal());
    const bf16 rounded = to_bf16(value);
    if (wide) {
      std::memcpy(numbers.data() + i * sizeof(value), &value, sizeof(value));
    } else {
      std::memcpy(numbers.data() + i * sizeof(rounded), &rounded, sizeof(rounded));
    }
  }
  Sequence sequence = new_sequence();
  const SequenceView view = sequence.begin_step(length);
  for (std::size_t layer = 0; layer < view.pages.size(); ++layer) {
    for (std::byte* page : view.pages[layer]) {
      for (std::size_t at = 0; at < model_.layout().page_bytes(layer);) {
        const std::size_t start = random.next() % kNumbers * (bytes / kNumbers);
        const std::size_t n = std::min(bytes - start, model_.layout().page_bytes(layer) - at);
        std::memcpy(page + at, numbers.data() + start, n);
        at += n;
      }
    }
  }
  sequence.end_step(tokens);
  return sequence;
}

std::span<const float> Runner::step(std::span<const Item> items, Trace* trace) {
  for (const Item& item : items) {
    if (item.tokens.empty()) throw Error({.where = "step", .what = "a sequence has no new tokens"});
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
      batch.push_back({item.sequence.begin_step(item.tokens.size()), item.tokens, item.logits});
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
                                    const Progress& progress) {
  std::span<const float> logits;
  for (std::size_t done = 0; done < tokens.size();) {
    const std::size_t n = std::min(chunk_, tokens.size() - done);
    const bool last = done + n == tokens.size();
    const Item item{sequence, tokens.subspan(done, n), last ? Logits::screened : Logits::none};
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

}  // namespace zaya
