#include "cache/sequence.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "zaya/error.h"

namespace zaya {
namespace {

constexpr std::size_t kPage = StateLayout::kPageTokens;

std::size_t pages_for(std::size_t tokens) {
  return (tokens + kPage - 1) / kPage;
}

}  // namespace

void Sequence::Pages::push(PagePool::Page page) {
  data.push_back(page.get());
  held.push_back(std::move(page));
}

void Sequence::Pages::replace_last(PagePool::Page page) {
  data.back() = page.get();
  held.back() = std::move(page);
}

void Sequence::Pages::keep(std::size_t count) {
  if (count >= size()) return;
  data.resize(count);
  held.resize(count);
  dropped = std::min(dropped, count);
}

void Sequence::Pages::drop(std::size_t count) {
  for (; dropped < count; ++dropped) {
    data[dropped] = nullptr;
    held[dropped].reset();
  }
}

Sequence::Sequence(const StateLayout& layout, std::shared_ptr<PagePool> pool,
                   std::shared_ptr<const std::vector<float>> initial_tail,
                   std::shared_ptr<const Adapter> adapter)
    : layout_(&layout),
      pool_(std::move(pool)),
      initial_tail_(std::move(initial_tail)),
      adapter_(std::move(adapter)),
      tail_(*initial_tail_),
      pages_(layout.layers()) {}

Sequence Sequence::fork() const {
  require_whole();
  return Sequence(*this);
}

void Sequence::require_whole() const {
  if (in_step_) {
    throw Error({.where = "sequence state",
                 .what = "a step on this sequence did not finish; its state cannot be used"});
  }
}

SequenceView Sequence::view(std::size_t position) {
  view_pages_.clear();
  for (const Pages& pages : pages_) view_pages_.emplace_back(pages.data);
  return {
      .position = position, .pages = view_pages_, .tail = tail_.data(), .adapter = adapter_.get()};
}

// Only the last page can be part full; a fork may hold it too.
bool Sequence::shares_last(std::size_t layer) const {
  return length() % kPage != 0 && pages_[layer].held.back().use_count() > 1;
}

std::size_t Sequence::bytes_for_step(std::size_t count) const {
  std::size_t bytes = 0;
  for (std::size_t layer = 0; layer < pages_.size(); ++layer) {
    const std::size_t pages =
        pages_for(length() + count) - pages_[layer].size() + (shares_last(layer) ? 1 : 0);
    bytes += pages * layout_->page_bytes(layer);
  }
  return bytes;
}

SequenceView Sequence::begin_step(std::size_t count) {
  require_whole();
  try {
    make_room(count);
  } catch (...) {
    cancel_step();
    throw;
  }
  SequenceView out = view(length());
  in_step_ = true;
  return out;
}

void Sequence::cancel_step() {
  for (Pages& pages : pages_) pages.keep(pages_for(length()));
  in_step_ = false;
}

void Sequence::make_room(std::size_t count) {
  for (std::size_t layer = 0; layer < pages_.size(); ++layer) {
    const std::size_t bytes = layout_->page_bytes(layer);
    Pages& pages = pages_[layer];
    if (shares_last(layer)) {
      PagePool::Page copy = pool_->allocate(bytes);
      std::memcpy(copy.get(), pages.data.back(), bytes);
      pages.replace_last(std::move(copy));
    }
    while (pages.size() < pages_for(length() + count)) pages.push(pool_->allocate(bytes));
  }
  tokens_.reserve(length() + count);
}

void Sequence::end_step(std::span<const TokenId> tokens) {
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  for (std::size_t layer = 0; layer < pages_.size(); ++layer) {
    pages_[layer].drop(layout_->first_needed(layer, length()) / kPage);
  }
  in_step_ = false;
}

bool Sequence::can_roll_back(std::size_t length) const {
  if (length == this->length() || length == 0) return true;
  for (std::size_t layer = 0; layer < pages_.size(); ++layer) {
    const std::size_t reach = layout_->window(layer) - 1 + layout_->replay_tokens();
    const std::size_t first = length > reach ? length - reach : 0;
    if (pages_[layer].dropped * kPage > first) return false;
  }
  return length < this->length();
}

SequenceView Sequence::begin_rollback(std::size_t length) {
  require_whole();
  if (length > tokens_.size()) {
    throw Error({.where = "sequence state",
                 .what = "cannot roll back to a length it never had",
                 .expected = "at most " + std::to_string(tokens_.size()),
                 .found = std::to_string(length)});
  }
  if (!can_roll_back(length)) {
    throw Error({.where = "sequence state",
                 .what = "cannot roll back past what a sliding window has let go of",
                 .expected = "a length near " + std::to_string(tokens_.size()) + ", or 0",
                 .found = std::to_string(length)});
  }
  tokens_.resize(length);
  for (Pages& pages : pages_) pages.keep(pages_for(length));
  tail_ = *initial_tail_;
  in_step_ = true;
  SequenceView out = view(length - std::min(length, layout_->replay_tokens()));
  out.writes_kv = false;
  return out;
}

void Sequence::end_rollback() {
  in_step_ = false;
}

}  // namespace zaya
