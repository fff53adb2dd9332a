#include "rsa/population.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/random.h"
#include "rsa/draw.h"
#include "zaya/error.h"

namespace zaya::rsa {
namespace {

// Streams that no stage has.
constexpr std::uint64_t kPickStream = ~std::uint64_t{0};
constexpr std::uint64_t kSubsetBit = std::uint64_t{1} << 63;

bool blank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

std::size_t last_user_turn(const std::vector<ChatMessage>& messages) {
  for (std::size_t i = messages.size(); i-- > 0;) {
    if (messages[i].role == "user") return i;
  }
  throw Error({.where = "messages", .what = "there is no user's turn, which is the problem"});
}

}  // namespace

Population::Population(const Problem& problem, const Settings& settings, const Generator& generator)
    : problem_(problem),
      settings_(settings),
      generator_(generator),
      turn_(last_user_turn(problem.messages)),
      seed_(problem_seed(settings.seed, problem.number)) {
  validate(settings_);
  // What is wrong with the template shows now and not after a stage.
  if (settings_.rounds > 0) messages_for(std::vector<std::string>(settings_.subset, "-"), false);
  result_.id = problem.id;
  result_.stages.resize(settings_.stages());
  result_.stage_usage.resize(settings_.stages());
}

std::size_t Population::token_limit(std::size_t stage) const {
  const std::size_t limit =
      stage == settings_.last_stage() ? settings_.final_tokens : settings_.beta;
  if (!settings_.budget_tokens) return limit;
  const std::size_t left =
      *settings_.budget_tokens - std::min(*settings_.budget_tokens, result_.usage.output_tokens);
  return std::min(limit, left / settings_.generations_from(stage));
}

std::vector<std::size_t> Population::sources_of(std::size_t stage, std::size_t slot) const {
  if (settings_.carry != Carry::own_tail) {
    return draw_subset(usable_, settings_.subset, seed_, kSubsetBit | stream_of(stage, slot));
  }
  // Its own; when that failed, another's.
  const bool own = std::find(usable_.begin(), usable_.end(), slot) != usable_.end();
  return {own ? slot : usable_[slot % usable_.size()]};
}

std::vector<ChatMessage> Population::messages_for(const std::vector<std::string>& texts,
                                                  bool last) const {
  std::vector<ChatMessage> messages(problem_.messages.begin(),
                                    problem_.messages.begin() + turn_ + 1);
  if (!texts.empty()) {
    messages.back().content = problem_.prompt->render(messages.back().content, texts, last);
  }
  return messages;
}

std::vector<Task> Population::next_tasks() {
  if (done_ || running_) return {};
  std::vector<Task> tasks;
  running_ = true;
  waiting_ = settings_.width(stage_);
  const std::size_t limit = token_limit(stage_);
  if (limit == 0) {  // only where a generator gave more than it was asked for
    stop();
    return {};
  }
  const Sampling& sampling = settings_.sampling_of(stage_);
  const bool last = stage_ == settings_.last_stage();
  for (std::size_t slot = 0; slot < settings_.width(stage_); ++slot) {
    Task task{.stage = stage_, .slot = slot};
    if (stage_ > 0) task.sources = sources_of(stage_, slot);
    // 53 bits: every reader of JSON keeps such a number exactly.
    task.params.seed = Random(seed_, stream_of(stage_, slot)).next() >> 11;
    task.params.temperature = sampling.temperature;
    task.params.top_p = sampling.top_p;
    task.params.top_k = sampling.top_k;
    task.params.min_p = sampling.min_p;
    task.params.max_tokens = limit;
    if (last && settings_.final_think_tokens) {
      task.params.think_budget = std::min(*settings_.final_think_tokens, limit);
    }
    if (!problem_.known.contains({stage_, slot})) {
      std::vector<std::string> texts;
      for (const std::size_t source : task.sources) texts.push_back(texts_.at(source));
      task.messages = messages_for(texts, last);
    }
    tasks.push_back(std::move(task));
  }
  const auto is_known = [&](const Task& task) {
    return problem_.known.contains({task.stage, task.slot});
  };
  const std::size_t stage = stage_;
  for (const Task& task : tasks) {
    if (is_known(task)) finish(task, problem_.known.at({task.stage, task.slot}));
  }
  std::erase_if(tasks, is_known);
  // All of the stage was known: on to the next.
  if (tasks.empty() && stage_ != stage) return next_tasks();
  return tasks;
}

void Population::finish(const Task& task, Output output) {
  std::vector<Candidate>& stage = result_.stages[task.stage];
  Candidate candidate{.stage = task.stage, .slot = task.slot, .sources = task.sources};
  if (problem_.answers.extract && !output.failed()) {
    candidate.answer = problem_.answers.extract(output.answer);
  }
  result_.largest_context =
      std::max(result_.largest_context, output.prompt_tokens + output.output_tokens);
  result_.stage_usage[task.stage].add(output);
  result_.usage.add(output);
  candidate.output = std::move(output);
  const auto at = std::find_if(stage.begin(), stage.end(),
                               [&](const Candidate& c) { return c.slot > task.slot; });
  stage.insert(at, std::move(candidate));
  if (--waiting_ == 0) end_stage();
}

std::string Population::carried(const Output& output) const {
  const std::string& trace = blank(output.reasoning) ? output.answer : output.reasoning;
  if (output.failed()) return {};
  switch (settings_.carry) {
    case Carry::full:
      if (blank(output.reasoning) || blank(output.answer)) return trace;
      return output.reasoning + "\n\n" + output.answer;
    case Carry::answer_or_tail:
      // An answer is held to tau as well: what a stage reads stays bounded.
      if (output.finished() && !blank(output.answer)) {
        return generator_.tail(output.answer, settings_.tau);
      }
      [[fallthrough]];
    case Carry::reasoning_tail:
    case Carry::own_tail:
      return generator_.tail(trace, settings_.tau);
  }
  return {};
}

void Population::end_stage() {
  if (stage_ == 0) measure_bound();
  usable_.clear();
  texts_.clear();
  const std::vector<Candidate>& stage = result_.stages[stage_];
  if (std::all_of(stage.begin(), stage.end(),
                  [](const Candidate& c) { return c.output.failed(); })) {
    result_.error = stage.front().output.error;
    conclude();
    return;
  }
  if (stage_ == settings_.last_stage()) {
    conclude();
    return;
  }
  for (const Candidate& candidate : stage) {
    std::string text = carried(candidate.output);
    if (blank(text)) continue;
    usable_.push_back(candidate.slot);
    texts_[candidate.slot] = std::move(text);
  }
  if (usable_.empty()) {
    result_.error = fmt::format("no candidate of stage {} wrote anything", stage_);
    conclude();
    return;
  }
  ++stage_;
  running_ = false;
}

void Population::measure_bound() {
  // The prompt that the generator counted, and what the aggregation prompt adds to the problem when
  // its candidates are empty.
  std::size_t prompt = 0;
  for (const Candidate& c : result_.stages[0]) prompt = std::max(prompt, c.output.prompt_tokens);
  result_.context_bound =
      prompt + std::max(settings_.rounds > 0 ? settings_.beta : 0, settings_.final_tokens);
  if (settings_.rounds == 0) return;
  const std::string& text = problem_.messages[turn_].content;
  const std::vector<std::string> empty(settings_.subset);
  const std::size_t before = generator_.count_tokens(text);
  const std::size_t after = generator_.count_tokens(problem_.prompt->render(text, empty, true));
  const std::size_t carried = settings_.carry == Carry::full ? settings_.beta + 2 : settings_.tau;
  // Tokens may divide otherwise where texts meet: one more on either side of a candidate.
  result_.context_bound += after - std::min(before, after) + settings_.subset * (carried + 2);
}

void Population::stop() {
  if (done_) return;
  result_.stopped = true;
  conclude();
}

void Population::conclude() {
  done_ = true;
  result_.answer_stage = settings_.last_stage();
  // When it ended early: the last stage that came to an answer, or else to anything.
  const auto has = [&](std::size_t stage, auto&& what) {
    const std::vector<Candidate>& all = result_.stages[stage];
    return std::any_of(all.begin(), all.end(), what);
  };
  const auto answered = [](const Candidate& c) { return c.answer.has_value(); };
  const auto any = [](const Candidate& c) { return !c.output.failed(); };
  if (result_.stages.back().size() < settings_.width(settings_.last_stage())) {
    std::size_t best = 0;
    for (std::size_t stage = 0; stage < result_.stages.size(); ++stage) {
      if (has(stage, any)) best = stage;
    }
    for (std::size_t stage = 0; stage < result_.stages.size(); ++stage) {
      if (has(stage, answered)) best = stage;
    }
    result_.answer_stage = best;
  }
  const std::vector<Candidate>& stage = result_.stages[result_.answer_stage];
  result_.votes = count_votes(stage, problem_.answers);
  std::vector<std::size_t> good;
  for (const Candidate& candidate : stage) {
    if (!candidate.output.failed()) good.push_back(candidate.slot);
  }
  if (good.empty() || settings_.selection == Selection::all) return;
  if (settings_.selection == Selection::pick) {
    result_.chosen = draw_subset(good, 1, seed_, kPickStream).front();
  } else if (!result_.votes.empty()) {
    result_.chosen = result_.votes.front().slots.front();
  } else {
    const auto finished = std::find_if(stage.begin(), stage.end(),
                                       [](const Candidate& c) { return c.output.finished(); });
    result_.chosen = finished != stage.end() ? finished->slot : good.front();
  }
}

}  // namespace zaya::rsa
