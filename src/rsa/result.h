#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rsa/generator.h"

namespace zaya::rsa {

/// How answers are read and compared; both may be missing.
struct AnswerRule {
  /// The answer that a text gives; none: it gives none.
  std::function<std::optional<std::string>(const std::string& text)> extract = {};
  /// Whether two answers are the same; without it, when their texts are.
  std::function<bool(const std::string& a, const std::string& b)> same = {};
};

struct Candidate {
  std::size_t stage = 0;
  std::size_t slot = 0;
  std::vector<std::size_t> sources = {};  ///< slots of the stage before whose texts it was shown
  Output output = {};
  std::optional<std::string> answer = {};
};

/// Candidates of one stage that give the same answer.
struct Vote {
  std::string answer;  ///< as the first of them wrote it
  std::vector<std::size_t> slots;

  bool operator==(const Vote&) const = default;
};

struct Usage {
  std::size_t calls = 0;
  std::size_t prompt_tokens = 0;
  std::size_t cached_tokens = 0;
  std::size_t output_tokens = 0;  ///< newly generated: what the report counts (equation 24)

  void add(const Output& output);
  void add(const Usage& other);
  bool operator==(const Usage&) const = default;
};

/// How one problem fared.
struct Result {
  std::string id = {};
  std::vector<std::vector<Candidate>> stages = {};  ///< what has ended, of each stage, by slot
  std::size_t answer_stage = 0;  ///< which votes and choice are of: the last, unless it stopped
  std::vector<Vote> votes = {};  ///< most first; equal ones by the lowest slot
  /// Slot of the stage above; none with Selection::all, and when there is nothing to choose from.
  std::optional<std::size_t> chosen = {};
  bool stopped = false;    ///< it was interrupted before its end
  std::string error = {};  ///< why there is no result: a whole stage failed
  std::vector<Usage> stage_usage = {};
  Usage usage = {};
  std::size_t largest_context = 0;  ///< most tokens of prompt and output that a candidate had
  std::size_t context_bound = 0;    ///< problem + C tau + the most a generation may give

  const Candidate* find(std::size_t stage, std::size_t slot) const;  ///< null: has not ended
  const Candidate* choice() const;                                   ///< null: there is none
};

/// The candidates of one stage, grouped by their answers. Those without one do not vote.
std::vector<Vote> count_votes(const std::vector<Candidate>& candidates, const AnswerRule& rule);

}  // namespace zaya::rsa
