#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "zaya/engine.h"

namespace zaya::rsa {

/// What one generation gave.
struct Output {
  std::string reasoning = {};  ///< from inside think blocks, without the tags
  std::string answer = {};     ///< all else; all there is from a model that does not think
  FinishReason finish = FinishReason::cancelled;
  std::string error = {};  ///< what went wrong; empty unless it failed
  std::size_t prompt_tokens = 0;
  std::size_t cached_tokens = 0;  ///< of the prompt, not computed again
  std::size_t output_tokens = 0;
  double seconds = 0.0;

  bool failed() const { return !error.empty(); }
  /// Whether it came to an answer by itself.
  bool finished() const { return !failed() && finish == FinishReason::stop; }
};

/// One generation that is asked for. The functions may be called on any thread, and before start()
/// returns; they must not throw, and must not call the generator.
struct Call {
  std::vector<ChatMessage> messages;
  SamplingParams params = {};
  /// So many more tokens, and their text as far as it can be shown.
  std::function<void(std::size_t tokens, const TextPiece& text)> on_text = {};
  std::function<void(Output output)> on_done = {};  ///< exactly once, after all on_text
};

using CallId = std::uint64_t;

/// Something that continues conversations: a model in this process, or endpoints elsewhere.
/// Functions may be called from any thread.
class Generator {
 public:
  Generator() = default;
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;
  /// Every call has had its on_done when this returns.
  virtual ~Generator() = default;

  /// Throws Error for a call that can never be served.
  virtual CallId start(Call call) = 0;
  /// Ends a call soon, with what it has. Nothing happens if it has ended.
  virtual void cancel(CallId call) = 0;
  /// How many calls it serves at once; more may be started, and wait.
  virtual std::size_t slots() const = 0;

  /// How many tokens a text has.
  virtual std::size_t count_tokens(std::string_view text) const = 0;
  /// The last `tokens` tokens of a text, as text: whole characters. All of it when it has no more.
  virtual std::string tail(std::string_view text, std::size_t tokens) const = 0;
};

}  // namespace zaya::rsa
