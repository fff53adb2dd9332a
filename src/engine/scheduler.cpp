#include "engine/scheduler.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <limits>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya {
namespace {

constexpr std::size_t kPage = StateLayout::kPageTokens;
constexpr std::size_t kMostChoices = 1024;

}  // namespace

std::size_t Scheduler::Choice::length() const {
  return job->prompt->size() + generation.tokens().size();
}

std::vector<TokenId> Scheduler::Choice::tokens(std::size_t from, std::size_t count) const {
  const std::vector<TokenId>& prompt = *job->prompt;
  const std::vector<TokenId>& output = generation.tokens();
  std::vector<TokenId> out;
  out.reserve(count);
  for (std::size_t i = from; i < from + count; ++i) {
    out.push_back(i < prompt.size() ? prompt[i] : output[i - prompt.size()]);
  }
  return out;
}

Scheduler::Scheduler(Runner& runner, std::shared_ptr<const ModelText> text,
                     SchedulerOptions options)
    : runner_(runner),
      text_(std::move(text)),
      options_(options),
      cache_(options.cached_sequences, runner.model().layout().replay_tokens()) {
  options_.step_tokens = std::max<std::size_t>(1, options_.step_tokens);
  options_.prompt_tokens = std::max(options_.step_tokens, options_.prompt_tokens);
  options_.max_running = std::max<std::size_t>(1, options_.max_running);
}

std::size_t Scheduler::bytes_for(std::size_t tokens) const {
  return runner_.model().layout().bytes_held(tokens, options_.prompt_tokens);
}

/// Tokens of the longest sequence that the KV memory has room for.
std::size_t Scheduler::capacity() const {
  const std::size_t budget = runner_.pages().budget();
  const std::size_t context = text_->context;
  if (bytes_for(context) <= budget) return std::numeric_limits<std::size_t>::max();
  std::size_t fits = 0;
  for (std::size_t step = std::bit_floor(context); step > 0; step /= 2) {
    if (bytes_for(fits + step) <= budget) fits += step;
  }
  return fits;
}

/// The tokens of a choice now. Throws Error when it is not known, or no more.
std::vector<TokenId> Scheduler::tokens_of(ChoiceId choice, bool without_adapter) {
  const std::lock_guard lock(inbox_lock_);
  const auto found = tokens_.find(choice);
  if (found == tokens_.end()) {
    throw Error({.where = fmt::format("choice {} of request {}", choice.choice, choice.request),
                 .what = "does not run and is none of the last that ended"});
  }
  if (without_adapter && found->second.adapted) {
    throw Error({.where = "session", .what = "state of an adapter cannot be saved"});
  }
  std::vector<TokenId> tokens = *found->second.prompt;
  const std::vector<TokenId>& output = found->second.output;
  tokens.insert(tokens.end(), output.begin(), output.end());
  return tokens;
}

RequestId Scheduler::submit(Request request) {
  if (request.parent) {
    const std::vector<TokenId> before = tokens_of(*request.parent);
    request.prompt.insert(request.prompt.begin(), before.begin(), before.end());
  }
  check_prompt(runner_.config(), request.prompt);
  if (request.n == 0 || request.n > kMostChoices) {
    throw Error({.where = "n",
                 .what = "number of choices out of range",
                 .expected = fmt::format("1 to {}", kMostChoices),
                 .found = std::to_string(request.n)});
  }
  if (request.prompt.size() >= text_->context) {  // less than the model's own, maybe
    throw Error({.where = "prompt",
                 .what = "too long for the context",
                 .expected = fmt::format("at most {} tokens", text_->context - 1),
                 .found = fmt::format("{} tokens", request.prompt.size())});
  }
  // No output is longer than the context leaves room for, whatever max_tokens says.
  const std::size_t context = text_->context - request.prompt.size();
  const std::size_t wanted =
      request.prompt.size() + std::min(request.params.max_tokens.value_or(1), context);
  if (wanted > capacity()) {
    throw Error({.where = "KV memory",
                 .what = "prompt and max_tokens can never fit",
                 .expected = fmt::format("at most {} tokens ({} bytes)", capacity(),
                                         runner_.pages().budget()),
                 .found = fmt::format("{} tokens ({} bytes)", wanted, bytes_for(wanted))});
  }
  if (!request.params.max_tokens && capacity() < runner_.config().max_positions) {
    request.params.max_tokens = capacity() - request.prompt.size();
  }
  const auto job = std::make_shared<Job>();
  job->adapter = adapters_.find(request.adapter);
  job->prompt = std::make_shared<const std::vector<TokenId>>(std::move(request.prompt));
  job->request = std::move(request);
  Choices choices;
  for (std::size_t i = 0; i < job->request.n; ++i) {
    choices.push_back(
        {.job = job,
         .index = i,
         .generation = Generation(text_, job->request.params, *job->prompt,
                                  {.split_reasoning = job->request.split_reasoning, .stream = i}),
         .forks = i > 0});
    choices.back().stats.prompt_tokens = job->prompt->size();
  }
  const std::lock_guard lock(inbox_lock_);
  job->id = next_id_++;
  for (const Choice& choice : choices) {
    tokens_.insert(
        {{job->id, choice.index}, {.prompt = job->prompt, .adapted = job->adapter != nullptr}});
  }
  submitted_.splice(submitted_.end(), choices);
  return job->id;
}

void Scheduler::cancel(RequestId request) {
  const std::lock_guard lock(inbox_lock_);
  cancelled_.push_back(request);
}

void Scheduler::cancel_all() {
  const std::lock_guard lock(inbox_lock_);
  all_before_ = next_id_;
}

void Scheduler::load_adapter(const std::string& name, const std::filesystem::path& folder) {
  adapters_.load(runner_.model(), name, folder);
}

void Scheduler::unload_adapter(const std::string& name) {
  std::shared_ptr<const Adapter> adapter = adapters_.unload(name);
  const std::lock_guard lock(inbox_lock_);
  unloaded_.push_back(std::move(adapter));
}

void Scheduler::clear_cache() {
  while (cache_.evict()) {
  }
}

/// Rank: priority, then who came first.
bool Scheduler::before(const Choice& a, const Choice& b) {
  if (a.job->request.priority != b.job->request.priority) {
    return a.job->request.priority > b.job->request.priority;
  }
  return a.job->id != b.job->id ? a.job->id < b.job->id : a.index < b.index;
}

void Scheduler::move_by_rank(Choices& from, Choices::iterator choice, Choices& to) {
  const auto at =
      std::find_if(to.begin(), to.end(), [&](const Choice& c) { return before(*choice, c); });
  to.splice(at, from, choice);
}

void Scheduler::take_inbox() {
  Choices arrived;
  std::vector<RequestId> cancelled;
  std::vector<std::shared_ptr<const Adapter>> unloaded;
  RequestId all_before = 0;
  {
    const std::lock_guard lock(inbox_lock_);
    arrived.swap(submitted_);
    cancelled.swap(cancelled_);
    unloaded.swap(unloaded_);
    all_before = std::exchange(all_before_, 0);
  }
  for (const auto& adapter : unloaded) cache_.drop(adapter.get());
  while (!arrived.empty()) move_by_rank(arrived, arrived.begin(), waiting_);
  if (cancelled.empty() && all_before == 0) return;
  for (Choices* list : {&running_, &waiting_}) {
    for (auto it = list->begin(); it != list->end();) {
      const auto choice = it++;
      const RequestId id = choice->job->id;
      if (id < all_before || std::find(cancelled.begin(), cancelled.end(), id) != cancelled.end()) {
        close(*list, choice, {});
      }
    }
  }
}

/// Lets the last in rank of those that hold memory and have no part in this step wait. Of all
/// others only those after `choice`, or only those of lower priority, may be asked.
bool Scheduler::preempt_below(const Choice& choice, bool lower_priority_only) {
  for (auto it = running_.rbegin(); it != running_.rend(); ++it) {
    const bool below = lower_priority_only
                           ? it->job->request.priority < choice.job->request.priority
                           : before(choice, *it);
    if (!below) return false;
    if (it->planned) continue;
    it->sequence.reset();
    ++it->stats.preemptions;
    move_by_rank(running_, std::prev(it.base()), waiting_);
    return true;
  }
  return false;
}

/// The state with the longest common prefix, cached or of a choice that runs.
std::optional<PrefixCache::Hit> Scheduler::find(std::span<const TokenId> tokens,
                                                const Adapter* adapter) {
  std::optional<PrefixCache::Hit> hit = cache_.find(tokens, adapter);
  const Choice* longest = nullptr;
  std::size_t common = hit ? hit->common : 0;
  for (const Choice& choice : running_) {
    if (choice.job->adapter.get() != adapter) continue;
    const std::vector<TokenId>& other = choice.sequence->tokens();
    const auto ends = std::mismatch(tokens.begin(), tokens.end(), other.begin(), other.end());
    const auto same = static_cast<std::size_t>(ends.first - tokens.begin());
    // To roll back to less costs as much as to compute it.
    if (same <= common || !choice.sequence->can_roll_back(same) ||
        (same < other.size() && same <= runner_.model().layout().replay_tokens())) {
      continue;
    }
    longest = &choice;
    common = same;
  }
  if (longest != nullptr) hit = PrefixCache::Hit{longest->sequence->fork(), common};
  return hit;
}

/// Gives a waiting choice its sequence, with what others have computed of it. False when there is
/// no room.
bool Scheduler::start(Choices::iterator choice) {
  const std::size_t length = choice->length();
  const std::shared_ptr<const Adapter>& adapter = choice->job->adapter;
  const std::vector<TokenId> tokens = choice->tokens(0, length - 1);
  std::optional<PrefixCache::Hit> hit = find(tokens, adapter.get());
  const std::size_t common = hit ? hit->common : 0;
  KnownPrefix known = cache_.find_known(tokens, adapter.get(), common);
  // The whole pages of the hit are there, and in some layers more of them; a page each lets those
  // that run go on meanwhile.
  const std::size_t pages_common = common / kPage;
  std::size_t needed =
      bytes_for(length) - bytes_for(pages_common * kPage) + running_.size() * bytes_for(1);
  for (std::size_t layer = 0; layer < known.pages.size(); ++layer) {
    const std::size_t more = std::max(known.pages[layer].size(), pages_common) - pages_common;
    needed -= more * runner_.model().layout().page_bytes(layer);
  }
  const PagePool& pages = runner_.pages();
  while (needed > pages.budget() - pages.bytes_in_use()) {
    if (cache_.evict() || preempt_below(*choice, /*lower_priority_only=*/true)) continue;
    // Alone, it fits: submit() saw to that.
    if (running_.empty() && pages.bytes_in_use() == 0) break;
    if (running_.empty() && (hit || !known.tokens.empty())) {
      hit.reset();
      known = {};
      return start(choice);
    }
    return false;
  }
  Sequence sequence = hit ? std::move(hit->sequence) : runner_.new_sequence(adapter);
  runner_.rollback(sequence, sequence.length() - common);
  sequence.adopt(std::move(known));
  choice->sequence = std::move(sequence);
  if (!choice->started) {
    choice->started = Clock::now();
    choice->stats.cached_tokens = common;
  }
  return true;
}

void Scheduler::admit() {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if (running_.size() >= options_.max_running) return;
    const auto choice = it++;
    if (choice->forks) continue;
    try {
      if (!start(choice)) return;  // in order: what came later must not starve it
    } catch (const std::exception& error) {
      close(waiting_, choice, error.what());
      return;  // another may have become first
    }
    move_by_rank(waiting_, choice, running_);
  }
}

bool Scheduler::make_room(Choices::iterator choice, std::size_t tokens) {
  const PagePool& pages = runner_.pages();
  for (;;) {
    const std::size_t bytes = choice->sequence->bytes_for_step(tokens);
    if (reserved_ + bytes <= pages.budget() - pages.bytes_in_use()) {
      reserved_ += bytes;
      return true;
    }
    if (!cache_.evict() && !preempt_below(*choice, /*lower_priority_only=*/false)) return false;
  }
}

void Scheduler::plan(Choices::iterator choice, std::size_t tokens) {
  choice->planned = true;  // before room is made: it must not make room for itself
  if (!make_room(choice, tokens)) {
    choice->planned = false;
    return;
  }
  parts_.push_back({choice, choice->tokens(choice->sequence->length(), tokens)});
}

void Scheduler::plan_step() {
  parts_.clear();
  reserved_ = 0;
  const auto each = [&](auto&& f) {
    for (auto it = running_.begin(); it != running_.end();) {
      const auto choice = it;
      f(choice);  // may take others after it out of the list, never itself
      it = std::next(choice);
    }
  };
  std::size_t reading = 0;
  each([&](Choices::iterator choice) {
    if (choice->pending() == 1) {
      plan(choice, 1);
    } else {
      ++reading;
    }
  });
  // Prompts share what is left; there is always something, so that they come to an end.
  const std::size_t most = parts_.empty() ? options_.prompt_tokens : options_.step_tokens;
  std::size_t used = parts_.size();
  used += plan_drafts(most - std::min(most, used));
  std::size_t left = std::max(most - std::min(most, used), most / 4 + 1);
  each([&](Choices::iterator choice) {
    if (choice->planned || choice->pending() == 1 || left == 0) return;
    const std::size_t share = (left + reading - 1) / std::max<std::size_t>(1, reading);
    const std::size_t tokens = std::min(choice->pending(), share);
    plan(choice, tokens);
    if (choice->planned) left -= tokens;
    if (reading > 1) --reading;
  });
  make_room_for_drafts();
}

/// Lets the outputs of this step, which share `rows` equally, take drafts. Returns how many rows
/// these are.
std::size_t Scheduler::plan_drafts(std::size_t rows) {
  std::size_t total = 0;
  for (Part& part : parts_) {
    if (part.choice->generation.tokens().empty()) continue;  // others may fork from it here
    std::vector<TokenId> draft = part.choice->generation.draft();
    draft.resize(std::min(draft.size(), rows / parts_.size()));
    part.tokens.insert(part.tokens.end(), draft.begin(), draft.end());
    part.drafts = draft.size();
    total += draft.size();
  }
  return total;
}

/// Cuts drafts to the pages that there are when all else has its own. A cached prefix makes room,
/// as it would for the same tokens without a draft, a few steps later; nobody is preempted.
void Scheduler::make_room_for_drafts() {
  const PagePool& pages = runner_.pages();
  for (Part& part : parts_) {
    const Sequence& sequence = *part.choice->sequence;
    const std::size_t reserved = sequence.bytes_for_step(part.tokens.size() - part.drafts);
    const auto more = [&] { return sequence.bytes_for_step(part.tokens.size()) - reserved; };
    while (part.drafts > 0 && reserved_ + more() > pages.budget() - pages.bytes_in_use()) {
      if (cache_.evict()) continue;
      part.tokens.pop_back();
      --part.drafts;
    }
    reserved_ += more();
  }
}

void Scheduler::run_step() {
  std::vector<Runner::Item> items;
  items.reserve(parts_.size());
  for (const Part& part : parts_) {
    Logits logits = Logits::none;
    if (part.tokens.size() - part.drafts == part.choice->pending()) {
      const bool full = part.choice->generation.needs_full_head(part.drafts);
      logits = full ? Logits::last : Logits::screened;
    }
    items.push_back({*part.choice->sequence, part.tokens, logits, part.drafts});
  }
  std::span<const float> logits;
  try {
    logits = runner_.step(items);
  } catch (const std::exception& error) {
    for (const Part& part : parts_) close(running_, part.choice, error.what());
    return;
  }
  const std::size_t vocab = runner_.config().vocab;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    parts_[i].choice->planned = false;
    if (items[i].logits == Logits::none) continue;
    const std::size_t count = (1 + parts_[i].drafts) * vocab;
    take_logits(parts_[i], logits.first(count));
    logits = logits.subspan(count);
  }
}

/// The logits after the last token of a choice, and of those that fork from it here; or after the
/// last token and each of its draft.
void Scheduler::take_logits(const Part& part, std::span<const float> logits) {
  const Choices::iterator choice = part.choice;
  std::vector<Choices::iterator> siblings;
  if (choice->generation.tokens().empty()) {
    for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
      if (it->forks && it->job == choice->job) siblings.push_back(it);
    }
  }
  for (const auto& sibling : siblings) {
    sibling->sequence = choice->sequence->fork();
    sibling->forks = false;
    sibling->started = Clock::now();
    sibling->stats.cached_tokens = sibling->stats.prompt_tokens;
    move_by_rank(waiting_, sibling, running_);
  }
  // With a sliding window the finished sequence cannot go back to where its prompt ended.
  if (choice->generation.tokens().empty() && runner_.model().layout().has_windows()) {
    keep(choice->sequence->fork());
  }
  emit(choice, part.draft(), logits);
  for (const auto& sibling : siblings) emit(sibling, {}, logits);
}

/// One token, and one more for every token of the draft that was right.
void Scheduler::emit(Choices::iterator choice, std::span<const TokenId> draft,
                     std::span<const float> logits) {
  const std::size_t vocab = logits.size() / (1 + draft.size());
  choice->stats.drafted_tokens += draft.size();
  for (std::size_t right = 0;; ++right) {
    RequestEvent event{.request = choice->job->id, .choice = choice->index};
    try {
      event.token = choice->generation.step(logits.subspan(right * vocab, vocab), workspace_);
    } catch (const std::exception& error) {
      return close(running_, choice, error.what());
    }
    if (!choice->first_token) choice->first_token = Clock::now();
    {
      const std::lock_guard lock(inbox_lock_);
      tokens_.at({event.request, event.choice}).output.push_back(event.token->token);
    }
    event.finish = event.token->finish;
    const bool more = !event.finish && right < draft.size() && event.token->token == draft[right];
    if (more) {
      ++choice->stats.accepted_tokens;
    } else {
      choice->sequence->drop_drafts(draft.size() - right);
    }
    if (event.finish) return end(running_, choice, std::move(event));
    if (choice->job->request.on_event) choice->job->request.on_event(event);
    if (!more) return;
  }
}

/// Ends a choice from outside, or because of an error.
void Scheduler::close(Choices& in, Choices::iterator choice, const std::string& error) {
  RequestEvent event{.request = choice->job->id, .choice = choice->index, .error = error};
  event.rest = choice->generation.finish(FinishReason::cancelled);
  event.finish = choice->generation.finish_reason();
  if (!error.empty()) choice->sequence.reset();
  end(in, choice, std::move(event));
}

/// Puts a sequence into the cache, unless nobody can ask for it again.
void Scheduler::keep(Sequence sequence) {
  const Adapter* adapter = sequence.adapter().get();
  if (adapter == nullptr || adapters_.holds(adapter)) cache_.insert(std::move(sequence));
}

/// The tokens of the last choices that ended are kept, as many as there may be states of them.
void Scheduler::keep_tokens_of(ChoiceId ended) {
  const std::lock_guard lock(inbox_lock_);
  ended_.push_back(ended);
  while (ended_.size() > std::max<std::size_t>(1, options_.cached_sequences)) {
    tokens_.erase(ended_.front());
    ended_.pop_front();
  }
}

void Scheduler::end(Choices& in, Choices::iterator choice, RequestEvent event) {
  const auto seconds = [](Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
  };
  const Clock::time_point now = Clock::now();
  const Clock::time_point started = choice->started.value_or(now);
  const Clock::time_point first = choice->first_token.value_or(now);
  RequestStats& stats = choice->stats;
  stats.queue_seconds = seconds(choice->job->submitted, started);
  stats.prefill_seconds = seconds(started, first);
  stats.decode_seconds = seconds(first, now);
  stats.output_tokens = choice->generation.tokens().size();
  stats.reasoning_tokens = choice->generation.reasoning_tokens();
  if (const std::string* stop = choice->generation.stop_string()) event.stop_string = *stop;
  event.stats = stats;
  if (choice->sequence) keep(std::move(*choice->sequence));
  // Those that wait to fork from it need another to read the prompt.
  if (!choice->first_token) {
    const auto heir = std::find_if(waiting_.begin(), waiting_.end(), [&](const Choice& c) {
      return c.forks && c.job == choice->job;
    });
    if (heir != waiting_.end()) heir->forks = false;
  }
  const std::shared_ptr<Job> job = choice->job;
  keep_tokens_of({event.request, event.choice});
  in.erase(choice);
  if (job->request.on_event) job->request.on_event(event);
}

void Scheduler::evict_for(std::size_t bytes) {
  const PagePool& pages = runner_.pages();
  while (bytes > pages.budget() - pages.bytes_in_use() && cache_.evict()) {
  }
}

void Scheduler::save_session(ChoiceId choice, const std::filesystem::path& file) {
  const std::vector<TokenId> tokens = tokens_of(choice, /*without_adapter=*/true);
  std::optional<PrefixCache::Hit> hit = find(tokens, nullptr);
  Sequence sequence = hit ? std::move(hit->sequence) : runner_.new_sequence();
  const std::size_t common = hit ? hit->common : 0;
  hit.reset();
  runner_.rollback(sequence, sequence.length() - common);
  // The last token of an output, which nobody has fed; all that memory had no room for.
  const std::span<const TokenId> rest = std::span(tokens).subspan(common);
  evict_for(sequence.bytes_for_step(rest.size()));
  runner_.feed(sequence, rest);
  runner_.save_session(sequence, file);
}

std::vector<TokenId> Scheduler::load_session(const std::filesystem::path& file) {
  Sequence sequence = runner_.load_session(file, [&](std::size_t bytes) { evict_for(bytes); });
  std::vector<TokenId> tokens = sequence.tokens();
  cache_.insert(std::move(sequence));
  return tokens;
}

bool Scheduler::step() {
  take_inbox();
  admit();
  if (running_.empty()) return false;
  plan_step();
  run_step();
  return true;
}

}  // namespace zaya
