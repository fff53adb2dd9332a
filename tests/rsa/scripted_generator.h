#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/random.h"
#include "rsa/generator.h"

namespace zaya::rsa::test {

/// A generator that gives what a script says for each call, on a thread of its own, in a random
/// order. Its tokens are words: characters up to and with the spaces after them.
class ScriptedGenerator : public Generator {
 public:
  /// `number`: calls that were started before this one. May throw Error: the call cannot be served.
  using Script = std::function<Output(const Call& call, std::size_t number)>;

  struct Options {
    std::size_t slots = 4;
    std::uint64_t order = 1;  ///< seed of the order in which calls end
    bool hangs = false;       ///< calls end only when they are cancelled
  };

  explicit ScriptedGenerator(Script script) : ScriptedGenerator(std::move(script), Options()) {}
  ScriptedGenerator(Script script, Options options)
      : script_(std::move(script)), options_(options), thread_([this] { run(); }) {}
  ~ScriptedGenerator() override {
    {
      const std::lock_guard lock(lock_);
      ends_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  CallId start(Call call) override {
    const std::lock_guard lock(lock_);
    const std::size_t number = started.size();
    started.push_back({call.messages, call.params});
    Output output = script_(call, number);
    pending_.push_back({number, std::move(call), std::move(output)});
    most_at_once = std::max(most_at_once, pending_.size());
    changed_.notify_all();
    return number;
  }
  void cancel(CallId id) override {
    const std::lock_guard lock(lock_);
    for (Pending& p : pending_) {
      if (p.id == id) p.cancelled = true;
    }
    changed_.notify_all();
  }
  std::size_t slots() const override { return options_.slots; }
  std::size_t count_tokens(std::string_view text) const override { return words(text).size(); }
  std::string tail(std::string_view text, std::size_t tokens) const override {
    const std::vector<std::string_view> all = words(text);
    std::string out;
    for (std::size_t i = all.size() - std::min(tokens, all.size()); i < all.size(); ++i) {
      out += all[i];
    }
    return out;
  }

  static std::vector<std::string_view> words(std::string_view text) {
    std::vector<std::string_view> out;
    while (!text.empty()) {
      const std::size_t space = text.find(' ');
      const std::size_t next =
          space == std::string_view::npos ? space : text.find_first_not_of(' ', space);
      out.push_back(text.substr(0, next));
      text.remove_prefix(out.back().size());
    }
    return out;
  }

  struct Started {
    std::vector<ChatMessage> messages;
    SamplingParams params;
  };
  std::vector<Started> started;  ///< to be read when nothing runs
  std::size_t most_at_once = 0;

 private:
  struct Pending {
    CallId id;
    Call call;
    Output output;
    bool cancelled = false;
  };

  void run() {
    Random random(options_.order);
    std::unique_lock lock(lock_);
    for (;;) {
      const auto ready = [&] {
        return std::any_of(pending_.begin(), pending_.end(),
                           [&](const Pending& p) { return p.cancelled || !options_.hangs; });
      };
      changed_.wait(lock, [&] { return ends_ || ready(); });
      if (!ready()) return;
      auto at = std::next(pending_.begin(), random.next() % pending_.size());
      if (options_.hangs) {
        at = std::find_if(pending_.begin(), pending_.end(), [](auto& p) { return p.cancelled; });
      }
      Pending p = std::move(*at);
      pending_.erase(at);
      lock.unlock();
      const std::string text = p.output.reasoning + p.output.answer;
      if (p.cancelled) {
        p.output = {.reasoning = "so far ", .output_tokens = 2};
      } else if (!p.output.failed()) {
        p.call.on_text(1, {.reasoning = p.output.reasoning});
        p.call.on_text(1, {.answer = p.output.answer});
      }
      p.call.on_done(std::move(p.output));
      lock.lock();
    }
  }

  Script script_;
  Options options_;
  std::mutex lock_;
  std::condition_variable changed_;
  std::list<Pending> pending_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace zaya::rsa::test
