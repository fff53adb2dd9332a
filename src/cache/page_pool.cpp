#include "cache/page_pool.h"

#include <cstring>
#include <new>

namespace zaya {
namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

void PagePool::Free::operator()(std::byte* page) const {
  ::operator delete(page, kAlignment);
}

PagePool::PagePool(const StateLayout& layout) {
  for (std::size_t g = 0; g < page_bytes_.size(); ++g) page_bytes_[g] = layout.page_bytes(g);
}

PagePool::Page PagePool::allocate(std::size_t group) {
  Memory memory;
  {
    const std::lock_guard lock(lock_);
    if (!free_[group].empty()) {
      memory = std::move(free_[group].back());
      free_[group].pop_back();
    }
  }
  if (!memory)
    memory.reset(static_cast<std::byte*>(::operator new(page_bytes_[group], kAlignment)));
  std::memset(memory.get(), 0, page_bytes_[group]);
  ++in_use_;
  const auto give_back = [pool = shared_from_this(), group](std::byte* page) {
    Memory returned(page);
    const std::lock_guard lock(pool->lock_);
    pool->free_[group].push_back(std::move(returned));
    --pool->in_use_;
  };
  return {memory.release(), give_back};
}

}  // namespace zaya
