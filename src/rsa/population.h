#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rsa/generator.h"
#include "rsa/prompts.h"
#include "rsa/result.h"
#include "rsa/settings.h"

namespace zaya::rsa {

struct Problem {
  std::string id = {};
  /// The conversation; the last user's turn is the problem, and all before it is kept.
  std::vector<ChatMessage> messages;
  std::shared_ptr<const AggregationPrompt> prompt;
  AnswerRule answers = {};
  std::uint64_t number = 0;  ///< problems of one run with different numbers draw different seeds
  /// What an earlier run has finished, by stage and slot; not generated again.
  std::map<std::pair<std::size_t, std::size_t>, Output> known = {};
};

/// One candidate to be generated.
struct Task {
  std::size_t stage = 0;
  std::size_t slot = 0;
  std::vector<std::size_t> sources = {};
  std::vector<ChatMessage> messages = {};
  SamplingParams params = {};
};

/// The state of one problem: which candidates are to be generated next, and what came of them. No
/// generation, no threads: a pure function of settings, problem and outputs, whatever their order.
class Population {
 public:
  /// `generator` counts and cuts tokens. Throws Error when there is no user's turn. `problem` and
  /// `generator` must outlive it.
  Population(const Problem& problem, const Settings& settings, const Generator& generator);

  /// The tasks of the next stage, without those whose output is known; empty when a stage still
  /// runs and when there is no next.
  std::vector<Task> next_tasks();
  void finish(const Task& task, Output output);
  /// There will be no more outputs.
  void stop();
  bool done() const { return done_; }

  /// What there is; complete once done().
  const Result& result() const { return result_; }

 private:
  void end_stage();
  void conclude();
  std::size_t token_limit(std::size_t stage) const;
  std::vector<std::size_t> sources_of(std::size_t stage, std::size_t slot) const;
  std::vector<ChatMessage> messages_for(const std::vector<std::string>& texts, bool last) const;
  std::string carried(const Output& output) const;
  void measure_bound();

  const Problem& problem_;
  Settings settings_;
  const Generator& generator_;
  std::size_t turn_;  // of the problem among the messages
  std::uint64_t seed_;
  std::size_t stage_ = 0;    // that runs or begins next
  std::size_t waiting_ = 0;  // outputs of it to come
  bool running_ = false;
  bool done_ = false;
  std::vector<std::size_t> usable_;           // slots of the stage before that carry something
  std::map<std::size_t, std::string> texts_;  // what they carry
  Result result_;
};

}  // namespace zaya::rsa
