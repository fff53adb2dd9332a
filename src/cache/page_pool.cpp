#include "cache/page_pool.h"

#include <cstring>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya {
namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

void PagePool::Free::operator()(std::byte* page) const {
  ::operator delete(page, kAlignment);
}

std::size_t PagePool::pages_in_use() const {
  const std::lock_guard lock(lock_);
  return pages_in_use_;
}

std::size_t PagePool::bytes_in_use() const {
  const std::lock_guard lock(lock_);
  return bytes_in_use_;
}

PagePool::Memory PagePool::take(std::size_t bytes) {
  const std::lock_guard lock(lock_);
  if (bytes > budget_ - bytes_in_use_) {
    throw Error({.where = "KV cache",
                 .what = "no room for another page",
                 .expected = fmt::format("at most {} bytes in use", budget_),
                 .found = fmt::format("{} in use, {} more wanted", bytes_in_use_, bytes)});
  }
  Memory memory;
  std::vector<Memory>& kept = free_[bytes];
  if (!kept.empty()) {
    memory = std::move(kept.back());
    kept.pop_back();
    free_bytes_ -= bytes;
  } else {
    // Pages of one size cannot become pages of another: give up what the budget has no room for.
    for (auto& [size, pages] : free_) {
      while (!pages.empty() && bytes + free_bytes_ > budget_ - bytes_in_use_) {
        pages.pop_back();
        free_bytes_ -= size;
      }
    }
    memory.reset(static_cast<std::byte*>(::operator new(bytes, kAlignment)));
  }
  ++pages_in_use_;
  bytes_in_use_ += bytes;
  return memory;
}

void PagePool::give_back(std::size_t bytes, Memory page) {
  const std::lock_guard lock(lock_);
  free_[bytes].push_back(std::move(page));
  free_bytes_ += bytes;
  bytes_in_use_ -= bytes;
  --pages_in_use_;
}

PagePool::Page PagePool::allocate(std::size_t bytes) {
  Memory memory = take(bytes);
  std::memset(memory.get(), 0, bytes);
  return {memory.release(), [pool = shared_from_this(), bytes](std::byte* page) {
            pool->give_back(bytes, Memory(page));
          }};
}

}  // namespace zaya
