#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "zaya/sampling_params.h"
#include "zaya/token.h"

namespace zaya {

using RequestId = std::uint64_t;

/// One output of a request.
struct ChoiceId {
  RequestId request = 0;
  std::size_t choice = 0;

  friend auto operator<=>(const ChoiceId&, const ChoiceId&) = default;
};

/// A piece of output, as text: whole characters of UTF-8.
struct TextPiece {
  std::string reasoning = {};  ///< from inside think blocks, without the tags
  std::string answer = {};
};

enum class FinishReason {
  stop,       ///< a stop string or a stop token
  length,     ///< max_tokens or the end of the context
  cancelled,  ///< whoever asked does not want more
};
/// OpenAI's word for it: "stop" or "length"; "cancelled" is ours.
const char* finish_reason_name(FinishReason reason);

/// log p of one token.
struct TokenLogprob {
  TokenId id;
  float logprob;
};

/// What the model itself thought of a position, before bias, penalties and temperature (as vLLM
/// reports it), over the ids that are tokens.
struct Logprobs {
  TokenLogprob token;             ///< the token that was taken
  std::vector<TokenLogprob> top;  ///< the likeliest, best first, equal ones by id
};

/// What one token brought.
struct TokenEvent {
  TokenId token = 0;
  bool forced = false;  ///< not drawn: it closes a think block whose budget is used up
  TextPiece text;       ///< what can be shown now; may be of earlier tokens, may be empty
  std::optional<Logprobs> logprobs;    ///< when SamplingParams::top_logprobs is set
  std::optional<FinishReason> finish;  ///< this is the last token
};

/// How one choice of a request fared.
struct RequestStats {
  double queue_seconds = 0;    ///< before its first step
  double prefill_seconds = 0;  ///< to its first token
  double decode_seconds = 0;   ///< from there to the end
  std::size_t prompt_tokens = 0;
  std::size_t cached_tokens = 0;  ///< of the prompt: others had computed them
  std::size_t output_tokens = 0;
  std::size_t reasoning_tokens = 0;  ///< of the output, without the tags
  std::size_t drafted_tokens = 0;    ///< by speculation (SamplingParams::draft_tokens), checked
  std::size_t accepted_tokens = 0;   ///< of those, right: they took no step of their own
  std::size_t preemptions = 0;       ///< times it gave its memory to another and was computed again
};

/// What happened to one choice of a request.
struct RequestEvent {
  RequestId request = 0;
  std::size_t choice = 0;                ///< of n
  std::optional<TokenEvent> token = {};  ///< a new token
  // The last event of a choice has these:
  std::optional<FinishReason> finish = {};  ///< cancelled, too, when it failed
  RequestStats stats = {};
  std::string stop_string = {};  ///< what ended it, if it was a stop string
  TextPiece rest = {};           ///< text that no token brought, when it was cancelled or failed
  std::string error = {};        ///< what went wrong; empty unless it failed
};

/// A loaded LoRA adapter, which requests may name.
struct AdapterInfo {
  std::string name;
  std::string folder;  ///< where it was read from
};

/// Something to continue.
struct Request {
  std::vector<TokenId> prompt;  ///< at least a token; after a parent, none is enough
  /// Goes on from there: the parent's prompt and all of its output, as they are at submit(), stand
  /// before this prompt and count as part of it. What the parent has computed by the
  /// same adapter is not computed again. It may be running, or be one of the last
  /// SchedulerOptions::cached_sequences (at least one) that ended.
  std::optional<ChoiceId> parent = {};
  SamplingParams params = {};
  std::size_t n = 1;             ///< choices: outputs from the same prompt, which is computed once
  int priority = 0;              ///< higher goes first, and may take the memory of lower ones
  bool split_reasoning = false;  ///< else the tags of think blocks are text, and all is answer
  std::string adapter = {};      ///< name of a loaded adapter; empty: the model alone
  /// Sees every event, one at a time, on the thread that runs the model. Must not throw. May submit
  /// and cancel.
  std::function<void(const RequestEvent&)> on_event = {};
};

}  // namespace zaya
