#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/progress.h"
#include "cache/kv_policy.h"
#include "cache/sequence.h"
#include "cache/session_file.h"
#include "checkpoint/checkpoint.h"
#include "compute/thread_pool.h"
#include "model/model.h"
#include "zaya/options.h"

namespace zaya {

/// A loaded model with what running it takes: threads, KV pages, work space. One thread of control.
/// Sequences it made must not outlive it.
class Runner {
 public:
  /// Tokens to add to one sequence in a step.
  struct Item {
    Sequence& sequence;
    std::span<const TokenId> tokens;
    Logits logits = Logits::last;
    std::size_t drafts = 0;  ///< of the last tokens: Sequence::drop_drafts() may take them back
  };

  /// Throws Error when ZAYA_ISA asks for kernels the host lacks.
  Runner(std::shared_ptr<const Checkpoint> checkpoint, const RunnerOptions& options);
  /// The same with this KV policy, whatever the options say of one.
  Runner(std::shared_ptr<const Checkpoint> checkpoint, const RunnerOptions& options, KvPolicy kv);

  const ModelConfig& config() const { return model_.config(); }
  const Model& model() const { return model_; }
  int threads() const { return pool_.threads(); }
  const PagePool& pages() const { return *pages_; }

  /// A sequence without tokens. All that it will have pass through `adapter`, which must have been
  /// made for this model and compute mode.
  Sequence new_sequence(std::shared_ptr<const Adapter> adapter = nullptr);

  /// From now on shows the inputs of the layers' matrices to `observer`, or to nobody.
  void observe(InputObserver* observer) { activations_.observer = observer; }

  /// A sequence of `length` random tokens whose K and V are random numbers, and whose CCA tail is
  /// that of no tokens: for measuring how fast a long context is, without first reading one. What
  /// it goes on with means nothing.
  Sequence synthetic_sequence(std::size_t length, std::uint64_t seed);

  /// One forward pass over all items. Returns the logits [rows asked for, vocab] in the order of
  /// the items, valid until the next call. Throws Error, before any state changes, for a token
  /// outside the vocabulary, no tokens, a sequence that would pass the model's context, or when KV
  /// memory runs out.
  std::span<const float> step(std::span<const Item> items, Trace* trace = nullptr);

  /// Rows of the LM head that the last step read for each of its logits rows: all of them, or those
  /// that a screened head recomputed.
  std::size_t head_rows() const { return activations_.head_rows; }

  /// Adds tokens to one sequence, a chunk a step. Returns the logits [vocab] after the last one,
  /// valid until the next call. When `progress` stops it, the tokens fed so far stay.
  std::span<const float> feed(Sequence& sequence, std::span<const TokenId> tokens,
                              const Progress& progress = {}, Logits logits = Logits::screened);

  /// Forgets the last n tokens: afterwards the state is the one before they were added. Costs one
  /// pass over StateLayout::replay_tokens() tokens.
  void rollback(Sequence& sequence, std::size_t n);

  /// Writes a sequence's whole state to a file (cache/session_file.h), and makes a sequence of one.
  /// The file serves the same checkpoint (checkpoint_identity) in the same compute mode; what goes
  /// on from it is, to the bit, what would have gone on without it. Throw Error for a sequence with
  /// an adapter, a file that is damaged or foreign, and when KV memory has no room.
  void save_session(const Sequence& sequence, const std::filesystem::path& file);
  /// `make_room` is told the bytes that the pages are going to take.
  Sequence load_session(const std::filesystem::path& file,
                        const std::function<void(std::size_t bytes)>& make_room = {});

 private:
  const SessionOwner& session_owner();

  Model model_;
  ThreadPool pool_;
  std::shared_ptr<PagePool> pages_;
  std::shared_ptr<const std::vector<float>> initial_tail_;
  Activations activations_;
  std::size_t chunk_;
  std::optional<SessionOwner> session_owner_;  // from the first session on
};

}  // namespace zaya
