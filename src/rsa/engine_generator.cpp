#include "rsa/engine_generator.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <utility>
#include <vector>

#include "engine/model_text.h"
#include "zaya/error.h"

namespace zaya::rsa {

using Clock = std::chrono::steady_clock;

// Shared with the events of requests, which may still come while the generator goes.
struct EngineGenerator::State : std::enable_shared_from_this<EngineGenerator::State> {
  struct Live {
    Call call;
    std::vector<TokenId> prompt;
    Output output = {};
    Clock::time_point begun = Clock::now();
    RequestId request = 0;  // 0: waits for the one that reads its prompt
    bool first_token = false;
    bool cancelled = false;
  };

  State(Engine& of, std::string with) : engine(of), adapter(std::move(with)) {}

  void submit(CallId id, Live& live);
  void on_event(CallId id, const RequestEvent& event);
  std::vector<std::pair<CallId, std::string>> release(const std::vector<TokenId>& prompt);
  void finish(CallId id, std::unique_lock<std::mutex>& guard);

  Engine& engine;
  std::string adapter;
  mutable std::mutex lock;
  std::condition_variable ended;
  std::map<CallId, Live> live;
  CallId next = 1;
  std::size_t peak = 0;
};

// With the lock held: an event that comes at once waits for it on the engine's thread.
void EngineGenerator::State::submit(CallId id, Live& call) {
  Request request{.prompt = call.prompt,
                  .params = call.call.params,
                  .split_reasoning = true,
                  .adapter = adapter};
  request.on_event = [self = shared_from_this(), id](const RequestEvent& e) {
    self->on_event(id, e);
  };
  call.request = engine.submit(std::move(request));
}

// Lets those that waited for this prompt begin. Returns which could not.
std::vector<std::pair<CallId, std::string>> EngineGenerator::State::release(
    const std::vector<TokenId>& prompt) {
  std::vector<std::pair<CallId, std::string>> failed;
  for (auto& [id, other] : live) {
    if (other.request != 0 || other.prompt != prompt) continue;
    try {
      submit(id, other);
    } catch (const Error& error) {
      failed.emplace_back(id, error.what());
    }
  }
  return failed;
}

void EngineGenerator::State::finish(CallId id, std::unique_lock<std::mutex>& guard) {
  const auto node = live.extract(id);
  Live& call = node.mapped();
  call.output.seconds = std::chrono::duration<double>(Clock::now() - call.begun).count();
  guard.unlock();
  if (call.call.on_done) call.call.on_done(std::move(call.output));
  guard.lock();
  ended.notify_all();
}

void EngineGenerator::State::on_event(CallId id, const RequestEvent& event) {
  std::unique_lock guard(lock);
  Live& call = live.at(id);
  TextPiece piece = event.rest;
  if (event.token) {
    piece = event.token->text;
    ++call.output.output_tokens;
    peak = std::max(peak, engine.status().kv_bytes);
  }
  call.output.reasoning += piece.reasoning;
  call.output.answer += piece.answer;
  std::vector<std::pair<CallId, std::string>> failed;
  if (!call.first_token && (event.token || event.finish)) {
    call.first_token = true;
    failed = release(call.prompt);
  }
  if (event.token && call.call.on_text) {
    // The call stays where it is: only this thread ends calls that run.
    guard.unlock();
    call.call.on_text(1, piece);
    guard.lock();
  }
  if (event.finish) {
    call.output.finish = *event.finish;
    call.output.error = event.error;
    call.output.prompt_tokens = event.stats.prompt_tokens;
    call.output.cached_tokens = event.stats.cached_tokens;
    call.output.output_tokens = event.stats.output_tokens;
    finish(id, guard);
  }
  for (auto& [other, error] : failed) {
    live.at(other).output.error = std::move(error);
    finish(other, guard);
  }
}

EngineGenerator::EngineGenerator(Engine& engine, Options options)
    : engine_(engine),
      options_(std::move(options)),
      state_(std::make_shared<State>(engine, options_.adapter)) {}

EngineGenerator::~EngineGenerator() {
  std::vector<CallId> left;
  {
    const std::lock_guard guard(state_->lock);
    for (const auto& [id, live] : state_->live) left.push_back(id);
  }
  for (const CallId id : left) cancel(id);
  std::unique_lock guard(state_->lock);
  state_->ended.wait(guard, [&] { return state_->live.empty(); });
}

CallId EngineGenerator::start(Call call) {
  std::vector<TokenId> prompt = engine_.encode_chat(call.messages, options_.thinking);
  call.params.draft_tokens = options_.draft_tokens;
  State& state = *state_;
  const std::lock_guard guard(state.lock);
  const CallId id = state.next++;
  const bool waits = std::any_of(state.live.begin(), state.live.end(), [&](const auto& entry) {
    const State::Live& other = entry.second;
    return other.request != 0 && !other.first_token && other.prompt == prompt;
  });
  State::Live& live =
      state.live.emplace(id, State::Live{.call = std::move(call), .prompt = std::move(prompt)})
          .first->second;
  if (waits) return id;
  try {
    state.submit(id, live);
  } catch (...) {
    state.live.erase(id);
    throw;
  }
  return id;
}

void EngineGenerator::cancel(CallId id) {
  std::unique_lock guard(state_->lock);
  const auto at = state_->live.find(id);
  if (at == state_->live.end()) return;
  if (at->second.request != 0) {
    engine_.cancel(at->second.request);
  } else {
    state_->finish(id, guard);
  }
}

std::size_t EngineGenerator::count_tokens(std::string_view text) const {
  return tokenizer_of(engine_.text()).encode(text).size();
}

std::string EngineGenerator::tail(std::string_view text, std::size_t tokens) const {
  return last_tokens(tokenizer_of(engine_.text()), text, tokens);
}

std::size_t EngineGenerator::peak_kv_bytes() const {
  const std::lock_guard guard(state_->lock);
  return state_->peak;
}

std::string last_tokens(const Tokenizer& tokenizer, std::string_view text, std::size_t tokens) {
  const std::vector<TokenId> ids = tokenizer.encode(text);
  if (ids.size() <= tokens) return std::string(text);
  // The text from where those tokens begin: as long as what they decode to. A cut within a
  // character leaves the character out.
  std::size_t bytes = 0;
  for (std::size_t i = ids.size() - tokens; i < ids.size(); ++i) {
    bytes += tokenizer.token_bytes(ids[i]).size();
  }
  if (bytes > text.size()) return std::string(text);  // not a tokenizer that keeps its text
  std::string_view out = text.substr(text.size() - bytes);
  while (!out.empty() && (static_cast<unsigned char>(out.front()) & 0xc0U) == 0x80U) {
    out.remove_prefix(1);
  }
  return std::string(out);
}

}  // namespace zaya::rsa
