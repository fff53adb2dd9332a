#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "model/state.h"

namespace zaya {

/// Memory for KV pages, within a budget. Freed pages are kept for reuse.
class PagePool : public std::enable_shared_from_this<PagePool> {
 public:
  /// One page's bytes; returns to the pool when the last holder lets go. Shared pages are
  /// read-only.
  using Page = std::shared_ptr<std::byte>;

  static constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

  /// `budget`: bytes that pages may take, in use and kept for reuse together.
  explicit PagePool(const StateLayout& layout, std::size_t budget = kUnlimited);

  /// A page of one group (StateLayout), all zeros. Throws Error when the budget is used up.
  Page allocate(std::size_t group);

  std::size_t budget() const { return budget_; }
  /// Pages in use now, over all groups, and their bytes.
  std::size_t pages_in_use() const;
  std::size_t bytes_in_use() const;

 private:
  struct Free {
    void operator()(std::byte* page) const;
  };
  using Memory = std::unique_ptr<std::byte, Free>;

  Memory take(std::size_t group);
  void give_back(std::size_t group, Memory page);

  std::array<std::size_t, StateLayout::kGroups> page_bytes_{};
  std::size_t budget_;
  mutable std::mutex lock_;
  std::array<std::vector<Memory>, StateLayout::kGroups> free_;
  std::size_t free_bytes_ = 0;
  std::size_t pages_in_use_ = 0;
  std::size_t bytes_in_use_ = 0;
};

}  // namespace zaya
