#include "rsa/solver.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "zaya/error.h"

namespace zaya::rsa {
namespace {

using TaskKey = std::size_t;

// What the generator's threads report, for the thread of solve().
struct News {
  TaskKey key;
  std::size_t tokens = 0;
  TextPiece text = {};
  std::optional<Output> output = {};
};

class Inbox {
 public:
  void push(News news) {
    {
      const std::lock_guard lock(lock_);
      news_.push_back(std::move(news));
    }
    changed_.notify_one();
  }
  // Empty when the stop was asked for.
  std::deque<News> wait(const std::stop_token& stop) {
    std::unique_lock lock(lock_);
    changed_.wait(lock, stop, [&] { return !news_.empty(); });
    return std::exchange(news_, {});
  }

 private:
  std::mutex lock_;
  std::condition_variable_any changed_;
  std::deque<News> news_;
};

class Run {
 public:
  Run(Generator& generator, const std::vector<Problem>& problems, const Settings& settings,
      const SolveOptions& options)
      : generator_(generator),
        problems_(problems),
        settings_(settings),
        options_(options),
        slots_(std::max<std::size_t>(1, options.slots > 0 ? options.slots : generator.slots())),
        populations_(problems.size()) {}

  std::vector<Result> run();
  void cancel_running() {
    for (const auto& [key, running] : running_) generator_.cancel(running.call);
  }

 private:
  struct Running {
    std::size_t problem;
    Task task;
    CallId call = 0;
  };

  void emit(Event event) const {
    if (options_.observer) options_.observer(event);
  }
  void open(std::size_t problem);
  void collect(std::size_t problem);
  void fill();
  void start(std::size_t problem, Task task);
  void take(News news);
  void finish(std::size_t problem, const Task& task, Output output);
  void report_new_ends(std::size_t problem);

  Generator& generator_;
  const std::vector<Problem>& problems_;
  const Settings& settings_;
  const SolveOptions& options_;
  std::size_t slots_;
  std::vector<std::unique_ptr<Population>> populations_;  // null: not yet begun
  std::vector<std::size_t> stages_reported_;
  std::size_t opened_ = 0;
  std::size_t done_ = 0;
  // Ready tasks: those of earlier problems first, so that problems end one after the other.
  std::map<std::size_t, std::deque<Task>> ready_;
  std::map<TaskKey, Running> running_;
  TaskKey next_key_ = 0;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  bool stopping_ = false;
};

void Run::open(std::size_t problem) {
  populations_[problem] = std::make_unique<Population>(problems_[problem], settings_, generator_);
  stages_reported_.push_back(0);
  collect(problem);
}

// What the problem can do next.
void Run::collect(std::size_t problem) {
  Population& population = *populations_[problem];
  std::vector<Task> tasks = stopping_ ? std::vector<Task>() : population.next_tasks();
  report_new_ends(problem);
  if (!tasks.empty()) {
    auto& queue = ready_[problem];
    std::move(tasks.begin(), tasks.end(), std::back_inserter(queue));
  }
}

void Run::report_new_ends(std::size_t problem) {
  const Population& population = *populations_[problem];
  const Result& result = population.result();
  std::size_t& reported = stages_reported_[problem];
  while (reported < result.stages.size() &&
         result.stages[reported].size() == settings_.width(reported)) {
    emit({.kind = Event::Kind::stage_done,
          .problem = problem,
          .stage = reported,
          .result = &result});
    ++reported;
  }
  if (population.done()) {
    ++done_;
    emit({.kind = Event::Kind::problem_done, .problem = problem, .result = &result});
  }
}

void Run::start(std::size_t problem, Task task) {
  const TaskKey key = next_key_++;
  emit({.kind = Event::Kind::started,
        .problem = problem,
        .stage = task.stage,
        .slot = task.slot,
        .task = &task});
  Call call{.messages = task.messages, .params = task.params};
  call.on_text = [inbox = inbox_, key](std::size_t tokens, const TextPiece& text) {
    inbox->push({.key = key, .tokens = tokens, .text = text});
  };
  call.on_done = [inbox = inbox_, key](Output output) {
    inbox->push({.key = key, .output = std::move(output)});
  };
  Running& running = running_[key];
  running.problem = problem;
  running.task = std::move(task);
  try {
    running.call = generator_.start(std::move(call));
  } catch (const Error& error) {
    inbox_->push({.key = key, .output = Output{.error = error.what()}});
  }
}

void Run::fill() {
  while (running_.size() < slots_) {
    while (ready_.empty() && opened_ < problems_.size()) open(opened_++);
    if (ready_.empty()) return;
    const auto first = ready_.begin();
    const std::size_t problem = first->first;
    Task task = std::move(first->second.front());
    first->second.pop_front();
    if (first->second.empty()) ready_.erase(first);
    start(problem, std::move(task));
  }
}

void Run::finish(std::size_t problem, const Task& task, Output output) {
  Population& population = *populations_[problem];
  population.finish(task, std::move(output));
  const Candidate& candidate = *population.result().find(task.stage, task.slot);
  emit({.kind = Event::Kind::finished,
        .problem = problem,
        .stage = task.stage,
        .slot = task.slot,
        .task = &task,
        .candidate = &candidate,
        .result = &population.result()});
}

void Run::take(News news) {
  const auto at = running_.find(news.key);
  if (at == running_.end()) return;
  const Running& running = at->second;
  const std::size_t problem = running.problem;
  if (!news.output) {
    emit({.kind = Event::Kind::progress,
          .problem = problem,
          .stage = running.task.stage,
          .slot = running.task.slot,
          .tokens = news.tokens,
          .text = &news.text,
          .task = &running.task});
    return;
  }
  const Task task = std::move(at->second.task);
  running_.erase(at);
  finish(problem, task, std::move(*news.output));
  collect(problem);
}

std::vector<Result> Run::run() {
  validate(settings_);
  for (const Problem& problem : problems_) {
    // All that can be wrong with a problem is found before anything is generated.
    Population(problem, settings_, generator_);
  }
  fill();
  while (!running_.empty()) {
    for (News& news : inbox_->wait(stopping_ ? std::stop_token() : options_.stop)) {
      take(std::move(news));
    }
    if (!stopping_ && options_.stop.stop_requested()) {
      stopping_ = true;
      ready_.clear();
      cancel_running();
    }
    if (!stopping_) fill();
  }
  std::vector<Result> results;
  for (std::size_t i = 0; i < problems_.size(); ++i) {
    if (!populations_[i]) {
      Result none{.id = problems_[i].id, .stopped = true};
      none.stages.resize(settings_.stages());
      none.stage_usage.resize(settings_.stages());
      results.push_back(std::move(none));
      continue;
    }
    if (!populations_[i]->done()) {
      populations_[i]->stop();
      report_new_ends(i);
    }
    results.push_back(populations_[i]->result());
  }
  return results;
}

}  // namespace

std::vector<Result> solve(Generator& generator, const std::vector<Problem>& problems,
                          const Settings& settings, const SolveOptions& options) {
  Run run(generator, problems, settings, options);
  try {
    return run.run();
  } catch (...) {  // an observer's, or a prompt template's that a candidate has upset
    run.cancel_running();
    throw;
  }
}

}  // namespace zaya::rsa
