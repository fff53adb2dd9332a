#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/progress.h"
#include "engine/drafter.h"
#include "engine/model_text.h"
#include "engine/output_text.h"
#include "engine/runner.h"
#include "engine/sampler.h"
#include "engine/stop.h"
#include "zaya/request.h"
#include "zaya/token.h"

namespace zaya {

/// The output of one sequence, token by token: takes logits, gives tokens and text, knows when to
/// stop. Who runs the model, alone or in a batch, is no concern of it.
class Generation {
 public:
  struct Options {
    bool split_reasoning = false;  ///< else the tags are text and all text is answer
    std::uint64_t stream = 0;      ///< which of several sequences with one seed
  };

  /// `prompt` must have passed check_prompt(). Throws Error for parameters out of range.
  Generation(std::shared_ptr<const ModelText> model, const SamplingParams& params,
             std::span<const TokenId> prompt, Options options);

  /// Takes the logits after the last token; the event's token is the next to feed, unless the event
  /// says that it is finished. Throws Error for logits that are no numbers.
  TokenEvent step(std::span<const float> logits, SamplerWorkspace& workspace);

  /// A guess at the next tokens, to be fed with the last one; none unless
  /// SamplingParams::draft_tokens asks for it. Of a step with a draft, the logits after the last
  /// token and after each token of the draft go to step() one by one, as long as the tokens that
  /// come out are the draft's: so the output is what it is without.
  std::vector<TokenId> draft();

  /// Whether step() needs every logit as it is: a form may rule out all that a screened head has
  /// computed. With drafts, it may begin to hold on the way.
  bool needs_full_head(std::size_t drafts = 0) const {
    return constraint_.has_value() && (drafts > 0 || !text_.inside());
  }

  /// Ends the output from outside; returns the text still held back.
  TextPiece finish(FinishReason reason);

  std::optional<FinishReason> finish_reason() const { return finish_; }
  /// The stop string that ended the output, or null.
  const std::string* stop_string() const { return text_.stop_string(); }
  /// The output so far, with the token that ended it.
  const std::vector<TokenId>& tokens() const { return tokens_; }
  /// How many of them were reasoning, without the tags.
  std::size_t reasoning_tokens() const { return reasoning_tokens_; }

 private:
  bool is_stop(TokenId token) const;
  std::span<const float> allowed(std::span<const float> logits, std::vector<float>& copy) const;
  TextPiece push(TokenId token);
  TextPiece flush();
  void close_think_when_due();

  std::shared_ptr<const ModelText> model_;
  SamplingParams params_;
  Sampler sampler_;
  std::optional<grammar::Constraint> constraint_;  // acts outside of think blocks
  std::optional<Drafter> drafter_;
  std::optional<StreamDecoder> decoder_;
  OutputText text_;
  std::size_t limit_;
  std::size_t forced_left_ = 0;  // tokens at the end of ModelText::forced_close still to come
  std::size_t reasoning_tokens_ = 0;
  std::vector<TokenId> tokens_;
  std::optional<FinishReason> finish_;
};

/// Runs a model for one sequence.
struct Feed {
  /// Adds tokens and returns the logits after the last; and, when the last `drafts` are a draft,
  /// those after the token before it and after each of its own.
  std::function<std::span<const float>(std::span<const TokenId> tokens, std::size_t drafts,
                                       const Progress& progress)>
      add;
  /// Takes the last tokens back, not more than were drafts.
  std::function<void(std::size_t count)> drop;
};
/// `generation` is the one that the logits are for.
Feed feed_of(Runner& runner, Sequence& sequence, const Generation& generation);

struct GenerationStats {
  std::size_t prompt_tokens = 0;  ///< computed now
  std::size_t output_tokens = 0;
  std::size_t drafted_tokens = 0;   ///< checked by a step
  std::size_t accepted_tokens = 0;  ///< of those, right: they took no step of their own
  double prefill_seconds = 0.0;
  double decode_seconds = 0.0;
  TextPiece rest;  ///< text that no event brought, when it was stopped
};

/// Drives one generation to its end. `prompt`: what of the prompt is not in the sequence yet, at
/// least a token. `prefill` sees the prompt being computed and may stop it; `on_token` sees every
/// event, and a false return stops the generation. Either way it ends as cancelled. Afterwards
/// the sequence lacks the last token of the output.
GenerationStats generate(Generation& generation, const Feed& feed, std::span<const TokenId> prompt,
                         const Progress& prefill,
                         const std::function<bool(const TokenEvent&)>& on_token);

/// Rolls a sequence back to what it shares with `prompt`, leaving at least one token of the prompt
/// to compute. Returns the tokens that stay.
std::size_t keep_common_prefix(Runner& runner, Sequence& sequence, std::span<const TokenId> prompt);

}  // namespace zaya
