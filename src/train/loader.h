#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "train/batch.h"
#include "train/shard.h"

namespace zaya::train {

/// Groups of sizes, none over `capacity` in sum: each item, largest first, goes to the group that
/// it fills best, else to a new one. Items larger than capacity are an error of the caller.
std::vector<std::vector<std::size_t>> best_fit_decreasing(std::span<const std::size_t> sizes,
                                                          std::size_t capacity);

struct SourceOptions {
  std::filesystem::path folder;  ///< of shards
  double weight = 1;             ///< share of tokens, relative to the other sources
};

struct LoaderOptions {
  std::vector<SourceOptions> sources;
  std::size_t context = 0;     ///< rows of a document
  std::size_t batch_rows = 0;  ///< rows of a batch; at least `context`
  /// Documents longer than the context are cut into pieces; else they are left out, as a cut would
  /// teach answers without their questions.
  bool split = true;
  std::uint64_t seed = 0;
};

/// Packed batches from a mixture of sources, without end. The order follows from the options alone:
/// each source goes through its examples in an order of its own an epoch, the source that is
/// furthest behind its share of tokens comes next, and windows of a few batches are packed by
/// best_fit_decreasing into rows of about a context, which are shuffled and dealt to the batches.
class Loader {
 public:
  /// Throws Error when a shard is damaged or nothing fits the context.
  explicit Loader(LoaderOptions options);

  /// Throws Error never after construction: a batch always has at least one target.
  PackedBatch next();

  /// Where it is: enough to go on exactly there.
  struct Position {
    std::vector<std::uint64_t> examples;  ///< of each source, drawn before the window
    std::vector<std::uint64_t> rows;      ///< of each source, drawn before the window
    std::uint64_t window = 0;
    std::uint64_t batch = 0;  ///< of the window, the next one
  };
  const Position& position() const { return position_; }
  /// Throws Error when the position does not fit the sources.
  void seek(const Position& position);

  std::size_t source_tokens(std::size_t source) const;
  /// Examples of all sources that are too long or too short to be used, an epoch.
  std::size_t dropped() const { return dropped_; }

 private:
  struct Piece {
    std::span<const TokenId> tokens;
    std::span<const std::uint8_t> loss;
  };
  struct Source {
    std::vector<Shard> shards;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> examples;  ///< shard, index: usable ones
    std::vector<std::uint32_t> order;                               ///< of epoch `epoch`
    std::uint64_t epoch = ~std::uint64_t{0};
  };

  void draw(std::size_t source, Position& at, std::vector<Piece>& out);
  void fill_window();

  LoaderOptions options_;
  std::vector<Source> sources_;
  std::size_t dropped_ = 0;
  Position position_;  ///< of the current window's begin, and the batch
  Position after_;     ///< of its end
  std::vector<Piece> pieces_;
  std::vector<std::vector<std::size_t>> batches_;  ///< pieces of each
  bool filled_ = false;
};

}  // namespace zaya::train
