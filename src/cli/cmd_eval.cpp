#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/command.h"
#include "cli/long_job.h"
#include "cli/rsa_generator.h"
#include "cli/rsa_options.h"
#include "cli/rsa_run.h"
#include "cli/terminal.h"
#include "eval/code_checker.h"
#include "eval/dataset.h"
#include "eval/metrics.h"
#include "eval/report.h"
#include "rsa/answer_rule.h"
#include "rsa/journal.h"
#include "rsa/result_json.h"
#include "rsa/solver.h"
#include "zaya/error.h"

namespace zaya::cli {
namespace {

constexpr const char* kInstruction =
    "Work it out step by step, and put the final answer in \\boxed{}.";

struct Options {
  std::string model;
  std::string file;
  std::string preset;
  std::string problem_field;
  std::string answer_field;
  std::string kind;
  std::string instruction = kInstruction;
  std::string system;
  std::string name;
  std::string out;
  std::vector<std::string> compare;
  std::size_t limit = 0;
  std::size_t samples = 0;
  bool no_think = false;
  bool json = false;
  sandbox::Limits code_limits;
  RunOptions run;
  RsaOptions rsa;
  RsaGenerator generator;
};

eval::DatasetOptions dataset_options(const Options& options, std::uint64_t seed) {
  eval::DatasetOptions out{.seed = seed, .limit = options.limit};
  if (!options.preset.empty()) out.fields = eval::fields_of(options.preset);
  if (!options.problem_field.empty()) {
    out.fields = eval::Fields{.problem = options.problem_field, .answer = options.answer_field};
  }
  if (out.fields && !options.kind.empty()) out.fields->kind = answers::parse_kind(options.kind);
  return out;
}

// All that the outputs depend on, as the journal keeps it.
Json run_json(const Options& options, const rsa::Settings& settings,
              const std::vector<eval::Item>& items) {
  Json json = {{"settings", rsa::to_json(settings)},
               {"instruction", options.instruction},
               {"system", options.system},
               {"thinking", !options.no_think},
               {"problems", Json::array()}};
  for (const eval::Item& item : items) {
    json["problems"].push_back({{"id", item.id}, {"problem", item.problem}});
  }
  return json;
}

// Of choices and words the aggregation prompt that suits them.
const char* prompt_of(answers::Kind kind) {
  switch (kind) {
    case answers::Kind::mathematics:
      return "mathematics";
    case answers::Kind::choice:
      return "choice";
    case answers::Kind::code:
      return "code";
    case answers::Kind::text:
      break;
  }
  return "open";
}

rsa::Problem problem_of(const Options& options, const eval::Item& item, std::uint64_t number) {
  rsa::Problem problem{.id = item.id,
                       .messages = {},
                       .prompt = std::make_shared<const rsa::AggregationPrompt>(
                           rsa::AggregationPrompt::builtin(prompt_of(item.kind))),
                       .answers = rsa::answer_rule(item.kind),
                       .number = number};
  if (!options.system.empty()) problem.messages.push_back({"system", options.system});
  std::string text = item.problem;
  if (item.kind == answers::Kind::mathematics && !options.instruction.empty()) {
    text += "\n\n" + options.instruction;
  }
  problem.messages.push_back({"user", std::move(text)});
  return problem;
}

// Tells how far it is while it runs.
std::vector<rsa::Result> run_watched(rsa::Generator& generator,
                                     const std::vector<rsa::Problem>& problems,
                                     const rsa::Settings& settings, rsa::Journal* journal,
                                     bool quiet) {
  std::atomic<std::size_t> problems_done = 0;
  std::atomic<std::size_t> tokens = 0;
  const bool live = !quiet && ::isatty(STDERR_FILENO) == 1;
  const auto begin = std::chrono::steady_clock::now();
  const auto observe = [&](const rsa::Event& event) {
    if (journal != nullptr) journal->add(event);
    tokens += event.tokens;
    if (event.kind == rsa::Event::Kind::problem_done) ++problems_done;
  };
  auto results = solve_watched(generator, problems, settings, observe, [&] {
    if (!live) return;
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    fmt::print(stderr, "\r\x1b[K{} of {} problems, {} tokens, {:.1f} tokens/s",
               problems_done.load(), problems.size(), tokens.load(),
               static_cast<double>(tokens) / seconds.count());
    std::fflush(stderr);
  });
  if (live) fmt::print(stderr, "\r\x1b[K");
  return results;
}

// Of those that were not interrupted. Code is run: on all cores, as every test is a process or
// more.
std::vector<eval::Score> score_all(const std::vector<eval::Item>& items,
                                   const std::vector<rsa::Result>& results,
                                   const eval::CodeChecker* code) {
  std::vector<std::size_t> ended;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!results[i].stopped) ended.push_back(i);
  }
  std::vector<eval::Score> scores(ended.size());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < ended.size(); i = next++) {
      scores[i] = eval::score(items[ended[i]], results[ended[i]], code);
    }
  };
  std::vector<std::future<void>> workers;
  const std::size_t threads = code != nullptr ? std::thread::hardware_concurrency() : 1;
  for (std::size_t i = 0; i < std::min(threads, ended.size()); ++i) {
    workers.push_back(std::async(std::launch::async, work));
  }
  for (auto& worker : workers) worker.get();
  return scores;
}

std::string default_name(const rsa::Settings& s) {
  if (s.rounds == 0) return fmt::format("single x {}", s.population);
  return fmt::format("RSA T={} N={} C={} beta={} tau={}", s.rounds, s.population, s.subset, s.beta,
                     s.tau);
}

Json results_json(const std::string& name, const rsa::Settings& settings,
                  const std::vector<eval::Item>& items, const std::vector<rsa::Result>& results,
                  const std::vector<eval::Score>& scores, const eval::Summary& summary) {
  Json json = {{"name", name},
               {"settings", rsa::to_json(settings)},
               {"summary", eval::to_json(summary)},
               {"problems", Json::array()}};
  std::size_t scored = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    Json one = {{"id", items[i].id}, {"answer", items[i].answer}};
    if (!results[i].error.empty()) one["error"] = results[i].error;
    one["stopped"] = results[i].stopped;
    if (!results[i].stopped) {
      const eval::Score& s = scores[scored++];
      one["candidates"] = s.candidates;
      one["right"] = s.right;
      one["majority_right"] = s.majority_right;
      one["chosen_right"] = s.chosen_right;
    }
    one["votes"] = rsa::to_json(results[i])["votes"];
    one["usage"] = rsa::to_json(results[i].usage);
    json["problems"].push_back(std::move(one));
  }
  return json;
}

void eval_command(Options& options) {
  if (options.kind != "code" && options.problem_field.empty() != options.answer_field.empty()) {
    throw UsageError("--problem-field and --answer-field go together");
  }
  rsa::Settings settings = options.rsa.settings();
  if (options.samples > 0) {
    settings.rounds = 0;
    settings.population = options.samples;
    settings.subset = 1;
    settings.carry = rsa::Carry::reasoning_tail;
    settings.selection = rsa::Selection::majority;
  }
  std::optional<rsa::Journal> journal;
  if (!options.run.resume.empty()) {
    journal.emplace(rsa::Journal::resume(options.run.resume));
    settings = rsa::settings_from_json(JsonView(journal->head(), options.run.resume).at("settings"),
                                       options.run.resume);
  }
  rsa::validate(settings);
  const std::vector<eval::Item> items =
      eval::load_dataset(options.file, dataset_options(options, settings.seed));
  // Before the work of hours: that its outcome can be judged.
  std::optional<eval::CodeChecker> code;
  if (std::any_of(items.begin(), items.end(),
                  [](const eval::Item& i) { return i.kind == answers::Kind::code; })) {
    // A program that waits is not to hold up the others much longer than one that computes.
    options.code_limits.wall_seconds =
        2.0 * static_cast<double>(options.code_limits.cpu_seconds) + 3;
    code.emplace(options.code_limits);
  }
  const Json head = run_json(options, settings, items);
  if (journal && journal->head() != head) {
    throw Error({.where = options.run.resume,
                 .what = "the journal is of another run",
                 .expected = "the same data set, options and instruction"});
  }
  std::vector<rsa::Problem> problems;
  for (std::size_t i = 0; i < items.size(); ++i) {
    problems.push_back(problem_of(options, items[i], i));
    if (journal && journal->known().contains(i)) problems[i].known = journal->known().at(i);
  }
  std::vector<eval::Report> reports;
  for (const std::string& file : options.compare) {
    const Json json = read_json_file(file);
    const JsonView view(json, file);
    reports.push_back({view.string("name"), eval::summary_from_json(view.at("summary"), file)});
  }
  RsaGenerator& generator = options.generator;
  generator.open(options.model, !options.no_think);
  if (!options.run.journal.empty())
    journal.emplace(rsa::Journal::create(options.run.journal, head));
  if (!options.out.empty()) std::filesystem::create_directories(options.out);
  const std::optional<rsa::Forecast> forecast = generator.forecast(
      settings, *problems[0].prompt, problems[0].messages, !options.no_think, problems.size());
  if (!options.run.quiet && forecast) {
    fmt::print(stderr, "zaya: {} problems, at most {} tokens each, {} of KV pages, seed {}\n",
               items.size(), forecast->output_tokens,
               bytes_text(static_cast<double>(forecast->peak_bytes)), settings.seed);
  }

  const Interrupt interrupt(Interrupt::Again::ends_program);
  const std::vector<rsa::Result> results = run_watched(
      generator.generator(), problems, settings, journal ? &*journal : nullptr, options.run.quiet);
  const auto failed = static_cast<std::size_t>(
      std::count_if(results.begin(), results.end(),
                    [](const rsa::Result& r) { return !r.stopped && !r.error.empty(); }));
  const std::vector<eval::Score> scores = score_all(items, results, code ? &*code : nullptr);
  const std::string name = options.name.empty() ? default_name(settings) : options.name;
  const eval::Summary summary = eval::summarize(scores);
  reports.push_back({name, summary});
  const Json json = results_json(name, settings, items, results, scores, summary);
  if (!options.out.empty()) {
    const std::filesystem::path out = options.out;
    write_file(out / "results.json",
               json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
    write_file(out / "report.md", eval::markdown(reports));
    for (const char* file : {"plot.svg", "plot.png"}) {
      plot::write(eval::accuracy_plot(reports), out / file);
    }
  }
  print(options.json ? json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"
                     : eval::markdown(reports));
  if (scores.size() < items.size()) {
    fmt::print(stderr, "zaya: stopped after {} of {} problems\n", scores.size(), items.size());
  }
  // A problem that failed counts as wrong; the numbers are not what was asked for.
  if (failed > 0) {
    throw Error({.where = "eval", .what = fmt::format("{} problems failed: see --json", failed)});
  }
}

}  // namespace

void add_eval(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "eval", "Measure how often a model is right on a data set: single samples or Markovian RSA");
  command->add_option("model", options->model, "Model folder, or hub id in the local cache")
      ->required();
  command->add_option("dataset", options->file, "Problems and answers: .jsonl, .json or .csv")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--fields", options->preset,
                   "How its fields are called (default: the first of these that fits)")
      ->check(CLI::IsMember(eval::preset_names()));
  command->add_option("--problem-field", options->problem_field, "Name of the problem's field");
  command->add_option("--answer-field", options->answer_field, "Name of the answer's field");
  command->add_option("--kind", options->kind, "What the answers are, with --fields or field names")
      ->check(CLI::IsMember({"mathematics", "choice", "code", "text"}));
  command->add_option("--limit", options->limit, "Only the first so many problems");
  command
      ->add_option("--single", options->samples,
                   "No aggregation: so many samples of each problem (avg@k, pass@k, maj@k)")
      ->check(CLI::Range(1, 1024));
  command
      ->add_option("--instruction", options->instruction,
                   "Said after a mathematical problem; empty: nothing")
      ->default_str(kInstruction);
  command->add_option("--system", options->system, "System message");
  command->add_flag("--no-think", options->no_think,
                    "Set enable_thinking to false for the template");
  command->add_option("--name", options->name, "What the table calls this run");
  command
      ->add_option("--compare", options->compare,
                   "results.json of another run, for table and plot. May be repeated")
      ->type_name("FILE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--out", options->out, "Write results.json, report.md, plot.svg and plot.png there")
      ->type_name("DIR");
  command->add_flag("--json", options->json, "Print results as JSON instead of a table");
  command
      ->add_option("--code-seconds", options->code_limits.cpu_seconds,
                   "Time that a program of an answer may compute for one test")
      ->check(CLI::Range(1, 3600))
      ->default_val(options->code_limits.cpu_seconds);
  command
      ->add_option("--code-memory", options->code_limits.memory,
                   "Memory that such a program may have (1GB)")
      ->transform(CLI::AsSizeValue(true).description(""))
      ->type_name("SIZE");
  options->run.add_to(*command, ", with the same data set and options");
  options->rsa.add_to(*command);
  options->generator.add_to(*command);
  command->callback([options] { eval_command(*options); });
}

}  // namespace zaya::cli
