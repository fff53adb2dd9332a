#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "cache/page_pool.h"
#include "model/state.h"
#include "zaya/token.h"

namespace zaya {

/// K and V of the tokens that a sequence begins with, in the first layers, to be shared with one
/// that begins alike and would compute the same.
struct KnownPrefix {
  std::vector<TokenId> tokens;                       ///< whole pages of them
  std::vector<std::vector<PagePool::Page>> pages{};  ///< of each of the layers; empty: not shared
};

/// The state of one sequence, always whole: its tokens, the K and V of each, the CCA tail after the
/// last, and the adapter that all of it was computed with. A value: fork() is another sequence
/// with the same past; pages are shared and copied when one of the holders writes.
///
/// A model extends it in steps: begin_step(), Model::forward() on the view, end_step(). A step that
/// does not come to its end leaves a state nobody can use: everything but destruction throws Error.
class Sequence {
 public:
  /// `initial_tail`: Model::initial_tail().
  Sequence(const StateLayout& layout, std::shared_ptr<PagePool> pool,
           std::shared_ptr<const std::vector<float>> initial_tail,
           std::shared_ptr<const Adapter> adapter = nullptr);
  Sequence(Sequence&&) = default;
  Sequence& operator=(Sequence&&) = default;

  Sequence fork() const;

  std::size_t length() const { return tokens_.size(); }
  const std::vector<TokenId>& tokens() const { return tokens_; }
  const std::shared_ptr<const Adapter>& adapter() const { return adapter_; }  ///< null: none

  /// K and V of one layer: the pages of the tokens so far, in order (StateLayout); the first are
  /// null where a sliding window has passed them.
  std::span<const std::byte* const> pages(std::size_t layer) const;
  /// The CCA tail after the last token, [layers][tail_floats].
  std::span<const float> tail() const;

  /// K and V of as many whole pages of its first `tokens` tokens as there are, in the first layers.
  /// Layers with a sliding window hold little, and are left out.
  KnownPrefix known_prefix(std::size_t layers, std::size_t tokens) const;
  /// From now on this sequence shares what it has not computed of a known prefix: it still computes
  /// those tokens, which every layer above needs, but does not write K and V that are there. It
  /// must begin with those tokens, and end_step() throws Error for others. A fork and a rolled-back
  /// sequence may go on otherwise, and no longer know them.
  void adopt(KnownPrefix prefix);

  /// Bytes of pages that begin_step(count) would take from the pool.
  std::size_t bytes_for_step(std::size_t count) const;

  /// Makes room for `count` more tokens; when that throws, the state is as before. The view stays
  /// valid until end_step(). The last `drafts` of the tokens, fewer than `count`, may be taken back
  /// afterwards.
  SequenceView begin_step(std::size_t count, std::size_t drafts = 0);
  void end_step(std::span<const TokenId> tokens);
  /// begin_step() of an empty sequence for tokens whose state is known: it is to be written into
  /// the view. The first `dropped` pages of each layer are not held, as after a sliding window.
  SequenceView begin_restore(std::size_t count, std::span<const std::size_t> dropped);
  /// Undoes begin_step(), as long as nothing was written to the view.
  void cancel_step();

  /// Takes back the last `count` tokens, at most the drafts of the last step: the state is that of
  /// a step without them. Costs a copy of the CCA tail. Ends what it can take back.
  void drop_drafts(std::size_t count);

  /// Whether it can be rolled back to a length. Layers with a sliding window let go of pages that
  /// it has passed (StateLayout::first_needed): one can then go back a little, or to nothing.
  bool can_roll_back(std::size_t length) const;

  /// Roll-back in two halves. The first drops everything after the first `length` tokens, and hands
  /// out a view for running the last of the kept tokens again, from `view.position` on, which makes
  /// every layer's CCA tail exact (each reaches StateLayout::conv_rows tokens back, so
  /// replay_tokens() do). The K and V of the kept tokens are read and stay as they are.
  SequenceView begin_rollback(std::size_t length);
  void end_rollback();

 private:
  /// The pages of one layer, and where each lies.
  struct Pages {
    std::vector<PagePool::Page> held;
    std::vector<std::byte*> data;

    std::size_t dropped = 0;  ///< the first so many are null: no token will read them

    std::size_t size() const { return held.size(); }
    void push(PagePool::Page page);
    void replace(std::size_t index, PagePool::Page page);
    void push_dropped(std::size_t count);
    void keep(std::size_t count);
    void drop(std::size_t count);
  };

  explicit Sequence(const Sequence&) = default;  // fork()
  void require_whole() const;
  void forget_known();
  bool copies_last(std::size_t layer) const;
  void make_room(std::size_t count);
  void shorten(std::size_t length);
  void let_go(std::size_t length);
  std::size_t drafts() const;
  SequenceView view(std::size_t position);

  const StateLayout* layout_;
  std::shared_ptr<PagePool> pool_;
  std::shared_ptr<const std::vector<float>> initial_tail_;
  std::shared_ptr<const Adapter> adapter_;
  std::vector<TokenId> tokens_;
  std::vector<float> tail_;
  std::vector<Pages> pages_;           // of each layer
  std::vector<TokenId> known_tokens_;  // of adopt(), until there are as many of its own
  std::vector<std::size_t> known_;     // SequenceView::known
  std::vector<std::span<std::byte* const>> view_pages_;
  std::vector<float> draft_tails_;  // SequenceView::draft_tails, while drafts may be dropped
  bool in_step_ = false;
};

}  // namespace zaya
