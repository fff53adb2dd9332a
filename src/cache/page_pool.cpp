#include "cache/page_pool.h"

#include <cstring>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"

namespace zaya {
namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

void PagePool::Free::operator()(std::byte* page) const {
  ::operator delete(page, kAlignment);
}

PagePool::PagePool(const StateLayout& layout, std::size_t budget) : budget_(budget) {
  for (std::size_t g = 0; g < page_bytes_.size(); ++g) page_bytes_[g] = layout.page_bytes(g);
}

std::size_t PagePool::pages_in_use() const {
  const std::lock_guard lock(lock_);
  return pages_in_use_;
}

std::size_t PagePool::bytes_in_use() const {
  const std::lock_guard lock(lock_);
  return bytes_in_use_;
}

PagePool::Memory PagePool::take(std::size_t group) {
  const std::size_t bytes = page_bytes_[group];
  std::vector<Memory>& kept = free_[group];
  const std::lock_guard lock(lock_);
  if (bytes > budget_ - bytes_in_use_) {
    throw Error({.where = "KV cache",
                 .what = "no room for another page",
                 .expected = fmt::format("at most {} bytes in use", budget_),
                 .found = fmt::format("{} in use, {} more wanted", bytes_in_use_, bytes)});
  }
  Memory memory;
  if (!kept.empty()) {
    memory = std::move(kept.back());
    kept.pop_back();
    free_bytes_ -= bytes;
  } else {
    // Pages of one group cannot become pages of another: give up what the budget has no room for.
    for (std::size_t g = 0; g < free_.size(); ++g) {
      while (!free_[g].empty() && bytes + free_bytes_ > budget_ - bytes_in_use_) {
        free_[g].pop_back();
        free_bytes_ -= page_bytes_[g];
      }
    }
    memory.reset(static_cast<std::byte*>(::operator new(bytes, kAlignment)));
  }
  ++pages_in_use_;
  bytes_in_use_ += bytes;
  return memory;
}

void PagePool::give_back(std::size_t group, Memory page) {
  const std::lock_guard lock(lock_);
  free_[group].push_back(std::move(page));
  free_bytes_ += page_bytes_[group];
  bytes_in_use_ -= page_bytes_[group];
  --pages_in_use_;
}

PagePool::Page PagePool::allocate(std::size_t group) {
  Memory memory = take(group);
  std::memset(memory.get(), 0, page_bytes_[group]);
  return {memory.release(), [pool = shared_from_this(), group](std::byte* page) {
            pool->give_back(group, Memory(page));
          }};
}

}  // namespace zaya
