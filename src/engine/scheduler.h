#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cache/prefix_cache.h"
#include "engine/adapter_set.h"
#include "engine/generation.h"
#include "engine/runner.h"
#include "zaya/options.h"
#include "zaya/request.h"

namespace zaya {

/// Runs many requests over one model: continuous batching. Each step takes one token of every
/// output and, from what is left of its budget, equal parts of the prompts that are being read. An
/// output that speculates takes a draft of its next tokens, too, and keeps what was right.
///
/// Memory for K and V is the Runner's budget. When it is used up, cached prefixes go first, then
/// the sequence that came last among those of the lowest priority: it waits, and is computed again
/// from its tokens later, with the same output. A request that could never fit is refused at once.
///
/// step() belongs to one thread; submit() and cancel() may be called from any.
class Scheduler {
 public:
  /// `runner` must outlive it, and nobody else may step it meanwhile.
  Scheduler(Runner& runner, std::shared_ptr<const ModelText> text, SchedulerOptions options = {});

  /// Throws Error for a prompt or parameters that are not valid, for an adapter that is not loaded,
  /// or when prompt and max_tokens do not fit the KV memory. Without max_tokens, an output may be
  /// as long as the memory allows.
  RequestId submit(Request request);

  /// Ends all choices of a request, at the next step; each gets its last event. Nothing happens if
  /// there is no such request.
  void cancel(RequestId request);

  /// Ends all requests that were submitted before, in the same way.
  void cancel_all();

  /// Loads a LoRA adapter (docs/adapters.md) from its folder, under a name for requests. Throws
  /// Error for files that are not sound and for a name that is empty or taken. From any thread.
  void load_adapter(const std::string& name, const std::filesystem::path& folder);
  /// Requests may not name it any more; those that did come to their end with it. What is cached of
  /// it goes at the next step. Throws Error when there is none of that name. From any thread.
  void unload_adapter(const std::string& name);
  std::vector<AdapterInfo> adapters() const { return adapters_.list(); }

  /// As Engine's; on the thread of step(), between two steps.
  void save_session(ChoiceId choice, const std::filesystem::path& file);
  std::vector<TokenId> load_session(const std::filesystem::path& file);

  /// One step. False when there was nothing to do.
  bool step();

  /// Choices that hold memory, and choices that wait.
  std::size_t running() const { return running_.size(); }
  std::size_t waiting() const { return waiting_.size(); }
  /// Finished sequences that are kept for their prefixes.
  std::size_t cached() const { return cache_.size(); }
  /// Most bytes that the pages of so many tokens take. From any thread.
  std::size_t bytes_for(std::size_t tokens) const;
  /// Lets all cached prefixes go.
  void clear_cache();

 private:
  using Clock = std::chrono::steady_clock;

  /// What the choices of one request share.
  struct Job {
    RequestId id;
    Request request;  // its prompt is the next
    std::shared_ptr<const std::vector<TokenId>> prompt;
    std::shared_ptr<const Adapter> adapter = {};
    Clock::time_point submitted = Clock::now();
  };

  /// One output. Its tokens are the prompt and what was generated; its sequence, while it has one,
  /// holds the first of them.
  struct Choice {
    std::shared_ptr<Job> job;
    std::size_t index;
    Generation generation;
    std::optional<Sequence> sequence = {};
    bool forks = false;    ///< waits for another choice's prompt, to fork from it
    bool planned = false;  ///< takes part in this step
    RequestStats stats = {};
    std::optional<Clock::time_point> started = {};
    std::optional<Clock::time_point> first_token = {};

    std::size_t length() const;
    std::vector<TokenId> tokens(std::size_t from, std::size_t count) const;
    std::size_t pending() const { return length() - sequence->length(); }
  };
  using Choices = std::list<Choice>;  // in order of rank

  /// The tokens of a choice, for whoever goes on from it.
  struct Tokens {
    std::shared_ptr<const std::vector<TokenId>> prompt;
    bool adapted = false;
    std::vector<TokenId> output = {};
  };

  /// Part of a step.
  struct Part {
    Choices::iterator choice;
    std::vector<TokenId> tokens;
    std::size_t drafts = 0;  ///< the last of the tokens are a guess

    std::span<const TokenId> draft() const { return std::span(tokens).last(drafts); }
  };

  static bool before(const Choice& a, const Choice& b);
  static void move_by_rank(Choices& from, Choices::iterator choice, Choices& to);

  std::vector<TokenId> tokens_of(ChoiceId choice, bool without_adapter = false);
  void keep_tokens_of(ChoiceId ended);
  std::optional<PrefixCache::Hit> find(std::span<const TokenId> tokens, const Adapter* adapter);
  void evict_for(std::size_t bytes);
  void take_inbox();
  void admit();
  bool start(Choices::iterator choice);
  bool make_room(Choices::iterator choice, std::size_t tokens);
  bool preempt_below(const Choice& choice, bool lower_priority_only);
  void plan(Choices::iterator choice, std::size_t tokens);
  void plan_step();
  std::size_t plan_drafts(std::size_t rows);
  void make_room_for_drafts();
  void run_step();
  void take_logits(const Part& part, std::span<const float> logits);
  void emit(Choices::iterator choice, std::span<const TokenId> draft,
            std::span<const float> logits);
  void close(Choices& in, Choices::iterator choice, const std::string& error);
  void keep(Sequence sequence);
  void end(Choices& in, Choices::iterator choice, RequestEvent event);
  std::size_t capacity() const;

  Runner& runner_;
  std::shared_ptr<const ModelText> text_;
  SchedulerOptions options_;
  AdapterSet adapters_;
  PrefixCache cache_;
  SamplerWorkspace workspace_;

  Choices waiting_;  // without a sequence; siblings wait here for the first choice's prompt
  Choices running_;
  std::vector<Part> parts_;
  std::size_t reserved_ = 0;  // bytes that the parts planned so far will take

  std::mutex inbox_lock_;              // of all below
  std::map<ChoiceId, Tokens> tokens_;  // of all choices that wait, run, or ended last
  std::deque<ChoiceId> ended_;
  RequestId next_id_ = 1;
  Choices submitted_;
  std::vector<RequestId> cancelled_;
  RequestId all_before_ = 0;  // requests below this are cancelled
  std::vector<std::shared_ptr<const Adapter>> unloaded_;
};

}  // namespace zaya
