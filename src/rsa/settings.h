#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace zaya::rsa {

/// What of a candidate the next stage may see.
enum class Carry {
  reasoning_tail,  ///< the last tau tokens of its reasoning, finished or not: Markovian RSA
  answer_or_tail,  ///< its answer if it came to one, else its reasoning tail: the PaCoRe hybrid
  full,            ///< all it wrote, reasoning and answer: RSA
  own_tail,        ///< as reasoning_tail, but a candidate sees only its own (C = 1): Delethink
};

/// What the answer of a run is.
enum class Selection {
  all,       ///< every candidate of the last stage; scores are means over them
  single,    ///< the last stage is one generation
  majority,  ///< the answer that most candidates of the last stage agree on
  pick,      ///< one candidate of the last stage, drawn uniformly
};

struct Sampling {
  double temperature = 1.0;
  double top_p = 1.0;
  std::size_t top_k = 0;  ///< 0: off
  double min_p = 0.0;     ///< 0: off

  bool operator==(const Sampling&) const = default;
};

/// Markovian RSA (ZAYA1-8B technical report, arXiv:2605.05365, section VI). Stage 0 is N rollouts
/// of the problem; each of T further stages writes new candidates, each from the problem and the
/// tails of C candidates drawn from the stage before. The letters are the report's.
struct Settings {
  std::size_t rounds = 2;            ///< T: aggregations; there are T + 1 stages
  std::size_t population = 16;       ///< N
  std::size_t subset = 4;            ///< C
  std::size_t beta = 16384;          ///< most tokens of a generation, but for the last stage
  std::size_t tau = 4096;            ///< tokens of a tail
  std::size_t final_tokens = 40960;  ///< most tokens of a generation of the last stage
  /// Of those, most that are reasoning; then the think block is closed by force. None: no limit of
  /// its own, as in the report.
  std::optional<std::size_t> final_think_tokens = {};
  Carry carry = Carry::reasoning_tail;
  Selection selection = Selection::majority;
  std::vector<Sampling> sampling =
      std::vector<Sampling>(1);  ///< of stage 0, 1, ...; the last one for all further
  std::optional<Sampling> final_sampling = {};  ///< of the last stage, instead
  /// Most generated tokens of one problem. At the start of a stage what is left is shared equally
  /// by all generations still to come, and a share is the limit of each; what is not used goes
  /// into the shares of the next stage. So the sum is never passed, and no limit depends on who
  /// finishes first.
  std::optional<std::size_t> budget_tokens = {};
  std::uint64_t seed = 0;

  std::size_t stages() const { return rounds + 1; }
  std::size_t last_stage() const { return rounds; }
  /// Generations of a stage.
  std::size_t width(std::size_t stage) const {
    return stage == last_stage() && selection == Selection::single ? 1 : population;
  }
  const Sampling& sampling_of(std::size_t stage) const;
  /// Generations of a stage and all after it.
  std::size_t generations_from(std::size_t stage) const;

  bool operator==(const Settings&) const = default;
};

/// Throws Error naming the first setting that is out of range or contradicts another.
void validate(const Settings& settings);

/// "light", "recommended", "headline", "apex-high", "extra-high": settings the report gives
/// results for (docs/markovian-rsa.md). Throws Error for any other name.
Settings preset(std::string_view name);
const std::vector<std::string>& preset_names();
/// The preset of an effort: "low", "medium", "high" or "xhigh"; our choice.
const std::string& effort_preset(std::string_view effort);
const std::vector<std::string>& effort_names();

const char* carry_name(Carry carry);
const char* selection_name(Selection selection);
/// Throw Error for a name that is none.
Carry parse_carry(std::string_view name);
Selection parse_selection(std::string_view name);

Json to_json(const Settings& settings);
/// `base` with the members of an object put over it; "preset" is a base of its own. Throws Error
/// for a member that is none of ours or has a wrong type or range.
Settings settings_from_json(const Json& json, const std::string& where, Settings base = {});

}  // namespace zaya::rsa
