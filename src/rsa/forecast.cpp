#include "rsa/forecast.h"

#include <algorithm>

namespace zaya::rsa {

Forecast forecast(const Settings& s, const ForecastInput& in) {
  Forecast out{.slots = in.slots};
  const std::size_t carried = s.carry == Carry::full ? s.beta : s.tau;
  for (std::size_t stage = 0; stage < s.stages(); ++stage) {
    const std::size_t limit = stage == s.last_stage() ? s.final_tokens : s.beta;
    const std::size_t prompt =
        in.prompt_tokens + (stage == 0 ? 0 : in.template_tokens + s.subset * carried);
    const std::size_t length = std::min(in.context, prompt + limit);
    const std::size_t side_by_side =
        in.problems > 1 ? in.slots : std::min(in.slots, s.width(stage));
    // The last page of what is shared is not: a candidate writes into its own copy.
    const std::size_t shared = in.kv_bytes(in.prompt_tokens);
    const std::size_t whole = in.kv_bytes(length);
    const std::size_t own = whole - std::min(whole, shared) + in.kv_bytes(1);
    // One sequence that ended stays for its prefix.
    out.peak_bytes = std::max(out.peak_bytes, shared + (side_by_side + 1) * own);
    out.longest = std::max(out.longest, length);
    out.output_tokens += s.width(stage) * limit;
  }
  if (s.budget_tokens) out.output_tokens = std::min(out.output_tokens, *s.budget_tokens);
  out.fits = out.peak_bytes <= in.kv_memory;
  out.peak_bytes = std::min(out.peak_bytes, in.kv_memory);
  return out;
}

}  // namespace zaya::rsa
