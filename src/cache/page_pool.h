#pragma once

#include <cstddef>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace zaya {

/// Memory for KV pages, within a budget. Freed pages are kept for reuse.
class PagePool : public std::enable_shared_from_this<PagePool> {
 public:
  /// One page's bytes; returns to the pool when the last holder lets go. Shared pages are
  /// read-only.
  using Page = std::shared_ptr<std::byte>;

  static constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

  /// `budget`: bytes that pages may take, in use and kept for reuse together.
  explicit PagePool(std::size_t budget = kUnlimited) : budget_(budget) {}

  /// A page of so many bytes, all zeros. Throws Error when the budget is used up.
  Page allocate(std::size_t bytes);

  std::size_t budget() const { return budget_; }
  /// Pages in use now, of any size, and their bytes.
  std::size_t pages_in_use() const;
  std::size_t bytes_in_use() const;

 private:
  struct Free {
    void operator()(std::byte* page) const;
  };
  using Memory = std::unique_ptr<std::byte, Free>;

  Memory take(std::size_t bytes);
  void give_back(std::size_t bytes, Memory page);

  std::size_t budget_;
  mutable std::mutex lock_;
  std::map<std::size_t, std::vector<Memory>> free_;  // by size: a model's layers have few
  std::size_t free_bytes_ = 0;
  std::size_t pages_in_use_ = 0;
  std::size_t bytes_in_use_ = 0;
};

}  // namespace zaya
