#include "zaya/sampling_params.h"

#include <cmath>

#include <fmt/format.h>

#include "zaya/error.h"

namespace zaya {
namespace {

// Far above any use; they bound the work that a request from outside can ask for per token.
constexpr std::size_t kMaxStops = 64;
constexpr std::size_t kMaxStopBytes = 4096;
constexpr std::size_t kMaxDraft = 16;  // each keeps a CCA tail during its step

[[noreturn]] void fail(std::string name, std::string expected, std::string found) {
  throw Error({.where = std::move(name),
               .what = "out of range",
               .expected = std::move(expected),
               .found = std::move(found)});
}

// Written so that NaN is out of every range.
void check(const char* name, bool good, const char* expected, double found) {
  if (!good) fail(name, expected, fmt::format("{}", found));
}

void check_id(const char* name, TokenId id, std::size_t vocab) {
  if (id < 0 || static_cast<std::size_t>(id) >= vocab) {
    fail(name, fmt::format("token ids from 0 to {}", vocab - 1), fmt::format("{}", id));
  }
}

void check_numbers(const SamplingParams& p) {
  check("temperature", p.temperature >= 0.0 && std::isfinite(p.temperature), "0 or more",
        p.temperature);
  check("top_p", p.top_p > 0.0 && p.top_p <= 1.0, "above 0 and at most 1", p.top_p);
  check("min_p", p.min_p >= 0.0 && p.min_p <= 1.0, "from 0 to 1", p.min_p);
  check("repetition_penalty", p.repetition_penalty > 0.0 && std::isfinite(p.repetition_penalty),
        "above 0", p.repetition_penalty);
  check("presence_penalty", std::abs(p.presence_penalty) <= 2.0, "from -2 to 2",
        p.presence_penalty);
  check("frequency_penalty", std::abs(p.frequency_penalty) <= 2.0, "from -2 to 2",
        p.frequency_penalty);
}

}  // namespace

void validate(const SamplingParams& p, std::size_t vocab) {
  check_numbers(p);
  for (const LogitBias& b : p.logit_bias) {
    check_id("logit_bias", b.id, vocab);
    // Minus infinity is how a token is banned; NaN and plus infinity would break the distribution.
    check("logit_bias", b.bias <= 100.0F && (b.bias >= -100.0F || std::isinf(b.bias)),
          "biases from -100 to 100, or -inf", b.bias);
  }
  if (p.max_tokens == 0U) fail("max_tokens", "1 or more", "0");
  for (const TokenId id : p.stop_ids) check_id("stop_ids", id, vocab);
  if (p.top_logprobs > vocab) {
    fail("logprobs", fmt::format("at most {}, the vocabulary", vocab),
         fmt::format("{}", *p.top_logprobs));
  }
  if (p.draft_tokens > kMaxDraft) {
    fail("draft_tokens", fmt::format("at most {}", kMaxDraft), fmt::format("{}", p.draft_tokens));
  }
  if (p.stop.size() > kMaxStops) {
    fail("stop", fmt::format("at most {} strings", kMaxStops), fmt::format("{}", p.stop.size()));
  }
  for (const std::string& s : p.stop) {
    if (s.empty() || s.size() > kMaxStopBytes) {
      fail("stop", fmt::format("strings of 1 to {} bytes", kMaxStopBytes),
           fmt::format("{} bytes", s.size()));
    }
  }
}

}  // namespace zaya
