#include "train/loader.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/random.h"
#include "zaya/error.h"

namespace zaya::train {
namespace {

// Of a window. Not whole, so that what packing leaves empty does not ask for one more.
constexpr double kWindowBatches = 15.75;

template <class T>
void shuffle(std::vector<T>& items, Random random) {
  for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.next() % i]);
}

bool has_target(std::span<const std::uint8_t> loss) {
  return loss.size() > 1 &&
         std::any_of(loss.begin() + 1, loss.end(), [](std::uint8_t l) { return l != 0; });
}

}  // namespace

std::vector<std::vector<std::size_t>> best_fit_decreasing(std::span<const std::size_t> sizes,
                                                          std::size_t capacity) {
  std::vector<std::size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return sizes[a] > sizes[b]; });
  std::vector<std::vector<std::size_t>> groups;
  std::set<std::pair<std::size_t, std::size_t>> room;  // what is left, group
  for (const std::size_t item : order) {
    const auto best = room.lower_bound({sizes[item], 0});
    std::size_t group = groups.size();
    std::size_t left = capacity;
    if (best != room.end()) {
      left = best->first;
      group = best->second;
      room.erase(best);
    } else {
      groups.emplace_back();
    }
    groups[group].push_back(item);
    room.insert({left - sizes[item], group});
  }
  return groups;
}

Loader::Loader(LoaderOptions options) : options_(std::move(options)) {
  for (const SourceOptions& source : options_.sources) {
    Source s;
    for (const auto& file : shard_files(source.folder)) {
      const auto shard = static_cast<std::uint32_t>(s.shards.size());
      s.shards.emplace_back(file);
      for (std::uint32_t i = 0; i < s.shards.back().count(); ++i) {
        const std::size_t size = s.shards.back().tokens(i).size();
        if (has_target(s.shards.back().loss(i)) &&
            (options_.split || size <= options_.context + 1)) {
          s.examples.emplace_back(shard, i);
        } else {
          ++dropped_;
        }
      }
    }
    if (s.examples.empty()) {
      throw Error({.where = source.folder.string(),
                   .what = "no example can be used",
                   .expected = fmt::format("examples with targets of at most {} tokens",
                                           options_.context + 1)});
    }
    sources_.push_back(std::move(s));
  }
  position_.examples.resize(sources_.size());
  position_.rows.resize(sources_.size());
}

std::size_t Loader::source_tokens(std::size_t source) const {
  std::size_t tokens = 0;
  for (const Shard& shard : sources_[source].shards) tokens += shard.total_tokens();
  return tokens;
}

/// Adds the pieces of the source's next example.
void Loader::draw(std::size_t index, Position& at, std::vector<Piece>& out) {
  Source& source = sources_[index];
  const std::uint64_t epoch = at.examples[index] / source.examples.size();
  if (epoch != source.epoch) {
    source.order.resize(source.examples.size());
    std::iota(source.order.begin(), source.order.end(), 0U);
    shuffle(source.order, Random(options_.seed, (std::uint64_t{index} << 32) + epoch + 1));
    source.epoch = epoch;
  }
  const auto [shard, example] =
      source.examples[source.order[at.examples[index]++ % source.examples.size()]];
  const auto tokens = source.shards[shard].tokens(example);
  const auto loss = source.shards[shard].loss(example);
  at.rows[index] += tokens.size() - 1;
  // The last token of a piece is the first of the next: each is a target once.
  for (std::size_t begin = 0; begin + 1 < tokens.size(); begin += options_.context) {
    const std::size_t n = std::min(options_.context + 1, tokens.size() - begin);
    const Piece piece{tokens.subspan(begin, n), loss.subspan(begin, n)};
    if (has_target(piece.loss)) out.push_back(piece);
  }
}

void Loader::fill_window() {
  after_ = position_;
  pieces_.clear();
  std::size_t rows = 0;
  const auto wanted =
      static_cast<std::size_t>(kWindowBatches * static_cast<double>(options_.batch_rows));
  for (std::size_t seen = 0; rows < wanted;) {
    std::size_t next = 0;
    double furthest = 0;
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      const double share = static_cast<double>(after_.rows[i] + 1) / options_.sources[i].weight;
      if (i == 0 || share < furthest) {
        next = i;
        furthest = share;
      }
    }
    draw(next, after_, pieces_);
    for (; seen < pieces_.size(); ++seen) rows += pieces_[seen].tokens.size() - 1;
  }
  std::vector<std::size_t> sizes;
  for (const Piece& piece : pieces_) sizes.push_back(piece.tokens.size() - 1);
  // Best fit puts the long with the long. So it fills rows of about a context, and these are dealt
  // to the batches: filling whole batches made each of documents of one length, and the load of the
  // experts swung from step to step.
  const std::size_t in_batch = options_.batch_rows / options_.context;
  auto packed = best_fit_decreasing(sizes, options_.batch_rows / in_batch);
  shuffle(packed, Random(options_.seed ^ 0x9e3779b97f4a7c15ULL, position_.window));
  batches_.assign((packed.size() + in_batch - 1) / in_batch, {});
  for (std::size_t i = 0; i < packed.size(); ++i) {
    std::vector<std::size_t>& batch = batches_[i % batches_.size()];
    batch.insert(batch.end(), packed[i].begin(), packed[i].end());
  }
  filled_ = true;
}

PackedBatch Loader::next() {
  if (filled_ && position_.batch == batches_.size()) {
    position_ = after_;
    ++position_.window;
    position_.batch = 0;
    filled_ = false;
  }
  if (!filled_) fill_window();
  PackedBatch batch;
  for (const std::size_t i : batches_[position_.batch]) {
    batch.add(pieces_[i].tokens, pieces_[i].loss.data());
  }
  ++position_.batch;
  return batch;
}

void Loader::seek(const Position& position) {
  bool fits =
      position.examples.size() == sources_.size() && position.rows.size() == sources_.size();
  if (fits) {
    position_ = position;
    fill_window();
    fits = position.batch <= batches_.size();
  }
  if (!fits) {
    throw Error({.where = "training data",
                 .what = "the place to go on from does not fit the data: it has changed"});
  }
}

}  // namespace zaya::train
