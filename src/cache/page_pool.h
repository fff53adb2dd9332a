#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "model/state.h"

namespace zaya {

/// Memory for KV pages. Freed pages are kept for reuse.
class PagePool : public std::enable_shared_from_this<PagePool> {
 public:
  /// One page's bytes; returns to the pool when the last holder lets go. Shared pages are
  /// read-only.
  using Page = std::shared_ptr<std::byte>;

  explicit PagePool(const StateLayout& layout);

  /// A page of one group (StateLayout), all zeros.
  Page allocate(std::size_t group);

  /// Pages in use now, over all groups.
  std::size_t pages_in_use() const { return in_use_; }

 private:
  struct Free {
    void operator()(std::byte* page) const;
  };
  using Memory = std::unique_ptr<std::byte, Free>;

  std::array<std::size_t, StateLayout::kGroups> page_bytes_{};
  std::mutex lock_;
  std::array<std::vector<Memory>, StateLayout::kGroups> free_;
  std::atomic<std::size_t> in_use_{0};
};

}  // namespace zaya
