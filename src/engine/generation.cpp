#include "engine/generation.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "zaya/error.h"

namespace zaya {
namespace {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

OutputText::Options text_options(const ModelText& model, const SamplingParams& params,
                                 std::span<const TokenId> prompt, bool split) {
  return {.stop = params.stop,
          .inside = ends_inside_think(model, prompt),
          .split = split,
          .tags_are_tokens = model.think_close.has_value()};
}

void append(TextPiece& to, const TextPiece& more) {
  to.reasoning += more.reasoning;
  to.answer += more.answer;
}

}  // namespace

Generation::Generation(std::shared_ptr<const ModelText> model, const SamplingParams& params,
                       std::span<const TokenId> prompt, Options options)
    : model_(std::move(model)),
      params_(params),
      sampler_(params, model_->vocab, prompt, options.stream),
      text_(text_options(*model_, params, prompt, options.split_reasoning)),
      limit_(model_->context - prompt.size()) {
  if (params_.draft_tokens > 0) drafter_.emplace(params_.draft_tokens, prompt);
  if (params_.max_tokens) limit_ = std::min(limit_, *params_.max_tokens);
  if (model_->tokenizer) {
    // Raw text has no special tokens; who splits it wants to see the calls.
    decoder_.emplace(*model_->tokenizer, /*skip_special_tokens=*/true,
                     options.split_reasoning ? model_->call_tags : std::vector<TokenId>());
  } else if (params_.think_budget || !params_.stop.empty()) {
    throw Error({.where = params_.think_budget ? "think_budget" : "stop",
                 .what = "the model folder has no tokenizer.json, so there is no text"});
  }
  if (params_.format.kind != OutputFormat::Kind::text) {
    if (!model_->grammars) {
      throw Error({.where = "format",
                   .what = "the model folder has no tokenizer.json, so there is no text"});
    }
    constraint_.emplace(model_->grammars->of(params_.format));
  }
  close_think_when_due();
}

TokenEvent Generation::step(std::span<const float> logits, SamplerWorkspace& workspace) {
  TokenEvent event;
  event.forced = forced_left_ > 0;
  const bool reasons = text_.inside();
  event.token = event.forced
                    ? *(model_->forced_close.end() - static_cast<std::ptrdiff_t>(forced_left_--))
                    : sampler_.sample(allowed(logits, workspace.allowed), workspace);
  if (params_.top_logprobs) {
    event.logprobs =
        logprobs_of(logits, model_->vocab, event.token, *params_.top_logprobs, workspace);
  }
  sampler_.accept(event.token);
  tokens_.push_back(event.token);
  if (drafter_) drafter_->append(event.token);

  if (!event.forced && is_stop(event.token)) {
    event.text = finish(FinishReason::stop);
  } else {
    event.text = push(event.token);
    if (text_.stopped()) {
      finish_ = FinishReason::stop;
    } else if (constraint_ && !event.forced && !reasons && !constraint_->accept(event.token)) {
      throw Error({.where = "sampling", .what = "a token was drawn that the format rules out"});
    } else if (constraint_ && !text_.inside() && constraint_->finished()) {
      append(event.text, finish(FinishReason::stop));
    } else if (tokens_.size() >= limit_) {
      append(event.text, finish(FinishReason::length));
    } else {
      close_think_when_due();
    }
  }
  event.finish = finish_;
  return event;
}

std::vector<TokenId> Generation::draft() {
  // What is forced need not be guessed. A step gives a token more than its draft has.
  if (!drafter_ || finish_ || forced_left_ > 0) return {};
  return drafter_->draft(limit_ - tokens_.size() - 1);
}

TextPiece Generation::finish(FinishReason reason) {
  if (finish_) return {};
  TextPiece rest;
  if (decoder_) rest = text_.push(decoder_->finish());
  append(rest, text_.finish());
  finish_ = text_.stopped() ? FinishReason::stop : reason;
  return rest;
}

// The logits of what the output's form allows next.
std::span<const float> Generation::allowed(std::span<const float> logits,
                                           std::vector<float>& copy) const {
  if (!constraint_) return logits;
  copy.resize(logits.size());
  if (text_.inside()) {
    // Reasoning is free, but an output that ends in it has no answer.
    std::copy(logits.begin(), logits.end(), copy.begin());
    for (const TokenId id : model_->eos) {
      if (std::cmp_less(id, copy.size())) copy[id] = -std::numeric_limits<float>::infinity();
    }
    return copy;
  }
  constraint_->mask()->apply(logits, copy);
  if (!constraint_->can_end()) return copy;
  for (const auto* ends : {&model_->eos, &params_.stop_ids}) {
    for (const TokenId id : *ends) {
      if (std::cmp_less(id, copy.size()) && is_stop(id)) copy[id] = logits[id];
    }
  }
  return copy;
}

bool Generation::is_stop(TokenId token) const {
  const bool own_end = std::binary_search(model_->eos.begin(), model_->eos.end(), token);
  return (own_end && !params_.ignore_eos) ||
         std::find(params_.stop_ids.begin(), params_.stop_ids.end(), token) !=
             params_.stop_ids.end();
}

TextPiece Generation::push(TokenId token) {
  if (!decoder_) return {};
  const bool was_inside = text_.inside();
  const bool opens = token == model_->think_open;
  const bool is_tag = opens || token == model_->think_close;
  std::string text = decoder_->push(token);
  if (!is_tag) {
    TextPiece piece = text_.push(text);
    if (was_inside && text_.inside()) ++reasoning_tokens_;
    return piece;
  }
  // The decoder may hand out bytes of earlier tokens together with the tag's own text.
  const std::string_view spelling = opens ? kThinkOpen : kThinkClose;
  const bool shown = text.ends_with(spelling);
  if (shown) text.resize(text.size() - spelling.size());
  TextPiece piece = text_.push(text);
  append(piece, text_.push_tag(opens ? OutputText::Tag::open : OutputText::Tag::close,
                               shown ? spelling : std::string_view()));
  return piece;
}

void Generation::close_think_when_due() {
  if (!params_.think_budget || forced_left_ > 0 || !text_.inside()) return;
  if (reasoning_tokens_ >= *params_.think_budget) forced_left_ = model_->forced_close.size();
}

Feed feed_of(Runner& runner, Sequence& sequence, const Generation& generation) {
  return {.add =
              [&](std::span<const TokenId> tokens, std::size_t drafts, const Progress& progress) {
                const Logits logits =
                    generation.needs_full_head(drafts) ? Logits::last : Logits::screened;
                if (drafts == 0) return runner.feed(sequence, tokens, progress, logits);
                const Runner::Item item{sequence, tokens, logits, drafts};
                return runner.step({&item, 1});
              },
          .drop = [&](std::size_t count) { sequence.drop_drafts(count); }};
}

GenerationStats generate(Generation& generation, const Feed& feed, std::span<const TokenId> prompt,
                         const Progress& prefill,
                         const std::function<bool(const TokenEvent&)>& on_token) {
  GenerationStats stats;
  stats.prompt_tokens = prompt.size();
  SamplerWorkspace workspace;
  const Stopwatch prefill_time;
  std::span<const float> logits;
  try {
    logits = feed.add(prompt, 0, prefill);
  } catch (const Cancelled&) {
    generation.finish(FinishReason::cancelled);
    stats.prefill_seconds = prefill_time.seconds();
    return stats;
  }
  stats.prefill_seconds = prefill_time.seconds();

  const Stopwatch decode_time;
  std::vector<TokenId> fed(1);  // the last token and a draft
  for (;;) {
    const std::size_t drafts = fed.size() - 1;
    const std::size_t vocab = logits.size() / fed.size();
    std::size_t right = 0;
    bool wanted = true;
    for (;; ++right) {
      const TokenEvent event = generation.step(logits.subspan(right * vocab, vocab), workspace);
      wanted = on_token(event);
      if (!wanted || event.finish || right == drafts || event.token != fed[1 + right]) break;
    }
    feed.drop(drafts - right);
    stats.drafted_tokens += drafts;
    stats.accepted_tokens += right;
    if (generation.finish_reason()) break;
    if (!wanted) {
      stats.rest = generation.finish(FinishReason::cancelled);
      break;
    }
    fed = generation.draft();
    fed.insert(fed.begin(), generation.tokens().back());
    logits = feed.add(fed, fed.size() - 1, {});
  }
  stats.output_tokens = generation.tokens().size();
  stats.decode_seconds = decode_time.seconds();
  return stats;
}

std::size_t keep_common_prefix(Runner& runner, Sequence& sequence,
                               std::span<const TokenId> prompt) {
  const std::vector<TokenId>& old = sequence.tokens();
  const auto ends = std::mismatch(old.begin(), old.end(), prompt.begin(), prompt.end());
  auto common = static_cast<std::size_t>(ends.first - old.begin());
  if (common == prompt.size() && common > 0) --common;
  if (!sequence.can_roll_back(common)) common = 0;
  runner.rollback(sequence, sequence.length() - common);
  return common;
}

}  // namespace zaya
