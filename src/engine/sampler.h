#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "zaya/request.h"
#include "zaya/sampling_params.h"
#include "zaya/token.h"

namespace zaya {

/// A token that may be drawn.
struct Candidate {
  TokenId id;
  float logit;         ///< after bias and penalties, before temperature
  double probability;  ///< the candidates' sum is 1
};

/// Buffers of the size of the vocabulary. One serves any number of samplers, one at a time.
struct SamplerWorkspace {
  std::vector<float> logits;
  std::vector<float> allowed;
  std::vector<float> weights;
  std::vector<Candidate> candidates;
  std::vector<Candidate> ranked;
};

/// Picks the tokens of one sequence. A value: a copy continues exactly as the original does.
///
/// What acts, in this order (Transformers' order of logits processors; the additive penalties of
/// OpenAI's API stand where vLLM has them):
///   1. ids at or above the vocabulary never appear (the head has padded rows)
///   2. logit bias           l += bias
///   3. repetition penalty   l > 0 ? l / r : l * r, for every token of prompt and output
///   4. frequency, presence  l -= frequency * count + presence, for every token of the output
///   5. temperature          l /= T; T = 0 picks the largest and ends here
///   6. top-k                keeps the k largest and what equals the k-th
///   7. top-p                keeps the shortest run of the likeliest tokens whose probability
///                           reaches p
///   8. min-p                drops what is less likely than min_p times the likeliest
///   9. one draw: a pure function of seed, stream and the number of tokens accepted so far
/// Equal logits rank by id, lowest first.
class Sampler {
 public:
  /// `vocab`: how many ids are tokens. `prompt` counts for the repetition penalty. Sequences of one
  /// request (n > 1) share the seed and differ in `stream`.
  Sampler(const SamplingParams& params, std::size_t vocab, std::span<const TokenId> prompt,
          std::uint64_t stream = 0);

  /// The distribution after steps 1 to 8, in order of id. The span is in `workspace`. Throws Error
  /// for logits that are NaN or +inf, or all banned.
  std::span<const Candidate> distribution(std::span<const float> logits,
                                          SamplerWorkspace& workspace) const;

  /// Draws the next token. Nothing is counted until accept().
  TokenId sample(std::span<const float> logits, SamplerWorkspace& workspace) const;

  /// Counts a token, drawn or forced, as part of the output.
  void accept(TokenId token);

 private:
  struct Seen {
    bool in_prompt = false;
    std::size_t in_output = 0;
  };

  std::span<const float> adjusted(std::span<const float> logits, std::vector<float>& copy) const;
  bool penalises() const;

  SamplingParams params_;
  std::size_t vocab_;
  std::uint64_t stream_;
  std::uint64_t accepted_ = 0;
  std::unordered_map<TokenId, Seen> seen_;  // empty unless something is penalised
};

Logprobs logprobs_of(std::span<const float> logits, std::size_t vocab, TokenId token,
                     std::size_t top, SamplerWorkspace& workspace);

}  // namespace zaya
