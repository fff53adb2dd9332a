#include <chrono>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/long_job.h"
#include "cli/rsa_generator.h"
#include "cli/rsa_options.h"
#include "cli/rsa_run.h"
#include "cli/solve_view.h"
#include "cli/terminal.h"
#include "cli/text_input.h"
#include "rsa/answer_rule.h"
#include "rsa/journal.h"
#include "rsa/result_json.h"
#include "rsa/solver.h"
#include "zaya/error.h"

namespace zaya::cli {
namespace {

struct Options {
  std::string model;
  std::string positional;
  std::string file;
  std::string system;
  std::string kind = "mathematics";
  std::string prompt;
  std::string print_prompt;
  std::string trace;
  bool no_think = false;
  bool json = false;
  RunOptions run;
  RsaOptions rsa;
  RsaGenerator generator;
  std::vector<CLI::Option*> sources;
};

// What a run is: all that its outputs depend on, as the journal keeps it.
struct Run {
  rsa::Settings settings = {};
  std::vector<ChatMessage> messages = {};
  std::string kind = {};
  std::string prompt = {};  // the aggregation prompt's text
  bool thinking = true;
};

Json to_json(const Run& run, const std::string& model) {
  Json json = {{"model", model},       {"settings", rsa::to_json(run.settings)},
               {"kind", run.kind},     {"thinking", run.thinking},
               {"prompt", run.prompt}, {"messages", Json::array()}};
  for (const ChatMessage& m : run.messages) {
    json["messages"].push_back({{"role", m.role}, {"content", m.content}});
  }
  return json;
}

Run run_from_json(const Json& json, const std::string& where) {
  const JsonView view(json, where);
  Run run{.settings = rsa::settings_from_json(view.at("settings"), where)};
  run.kind = view.string("kind");
  run.thinking = view.boolean("thinking");
  run.prompt = view.string("prompt");
  for (const Json& m : view.at("messages")) {
    const JsonView message(m, where + ": messages");
    run.messages.push_back({message.string("role"), message.string("content")});
  }
  return run;
}

Run run_of(const Options& options) {
  std::string text;
  if (options.sources[0]->count() > 0 && options.positional != "-") {
    text = options.positional;
  } else {
    text = TextInput(options.file == "-" ? "" : options.file).read_all();
  }
  require_utf8(text, "the problem");
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw Error({.where = "the problem", .what = "it is empty"});
  }
  Run run{.settings = options.rsa.settings(), .kind = options.kind, .thinking = !options.no_think};
  run.prompt =
      rsa::AggregationPrompt::load(options.prompt.empty() ? options.kind : options.prompt).source();
  if (!options.system.empty()) run.messages.push_back({"system", options.system});
  run.messages.push_back({"user", text});
  return run;
}

void check(const Options& options) {
  std::size_t given = options.sources[0]->count() + options.sources[1]->count();
  if (!options.run.resume.empty()) {
    if (given > 0 || !options.run.journal.empty()) {
      throw UsageError("--resume takes problem and settings from the journal");
    }
    return;
  }
  if (given > 1) throw UsageError("solve takes one problem: as an argument or --file");
  if (given == 0 && stdin_is_terminal()) {
    throw UsageError("solve needs a problem: as an argument, --file or on stdin");
  }
}

void print_answers(const rsa::Result& result, const rsa::Settings& settings) {
  std::string out;
  if (settings.selection == rsa::Selection::all) {
    for (const rsa::Candidate& c : result.stages[result.answer_stage]) {
      out += fmt::format("--- candidate {} ---\n{}\n", c.slot, c.output.answer);
    }
  } else if (const rsa::Candidate* choice = result.choice()) {
    out += choice->output.answer.empty() ? choice->output.reasoning : choice->output.answer;
    if (!out.empty() && out.back() != '\n') out += "\n";
  }
  if (!result.votes.empty()) {
    out += fmt::format("\nanswers of stage {}:\n", result.answer_stage);
    for (const rsa::Vote& vote : result.votes) {
      out += fmt::format("{:>4} x {}   (candidates {})\n", vote.slots.size(), vote.answer,
                         fmt::join(vote.slots, ", "));
    }
  }
  if (const rsa::Candidate* choice = result.choice(); choice != nullptr && choice->answer) {
    out += "\n" + *choice->answer + "\n";
  }
  print(stdout_is_terminal() ? without_control_codes(out) : out);
}

void solve_command(Options& options) {
  if (!options.print_prompt.empty()) {
    print(rsa::AggregationPrompt::builtin(options.print_prompt).source());
    return;
  }
  if (options.model.empty()) throw UsageError("solve needs a model");
  check(options);
  std::optional<rsa::Journal> journal;
  Run run;
  if (!options.run.resume.empty()) {
    journal.emplace(rsa::Journal::resume(options.run.resume));
    run = run_from_json(journal->head(), options.run.resume);
  } else {
    run = run_of(options);
  }
  std::ofstream trace;
  if (!options.trace.empty()) {
    trace.open(options.trace);
    if (!trace) throw Error({.where = options.trace, .what = "cannot write the trace"});
  }
  const rsa::AggregationPrompt prompt(run.prompt, "aggregation prompt");
  options.generator.open(options.model, run.thinking);
  rsa::Problem problem{.messages = run.messages,
                       .prompt = std::make_shared<const rsa::AggregationPrompt>(prompt),
                       .answers = rsa::answer_rule(rsa::answer_kind_of_prompt(run.kind))};
  SolveView view(run.settings, options.run.quiet);
  if (journal && journal->known().contains(0)) {
    problem.known = journal->known().at(0);
    for (const auto& [place, output] : problem.known) {
      view.known(place.first, place.second, output.output_tokens);
    }
  }
  if (!options.run.journal.empty()) {
    journal.emplace(rsa::Journal::create(options.run.journal, to_json(run, options.model)));
  }
  // Told before the run; what it came to, after.
  const std::optional<rsa::Forecast> forecast =
      options.generator.forecast(run.settings, prompt, run.messages, run.thinking, 1);
  const rsa::Settings& s = run.settings;
  if (!options.run.quiet) {
    fmt::print(stderr,
               "zaya: {} stages, {} candidates each (T={} N={} C={} beta={} tau={}), seed {}\n",
               s.stages(), s.population, s.rounds, s.population, s.subset, s.beta, s.tau, s.seed);
  }
  if (!options.run.quiet && forecast) {
    fmt::print(stderr, "zaya: at most {} tokens, sequences of {} tokens, {} of KV pages{}\n",
               forecast->output_tokens, forecast->longest,
               bytes_text(static_cast<double>(forecast->peak_bytes)),
               forecast->fits ? "" : ", which is all there is: candidates may wait");
  }

  const Interrupt interrupt(Interrupt::Again::ends_program);
  const auto begin = std::chrono::steady_clock::now();
  const auto observe = [&](const rsa::Event& event) {
    view.take(event);
    if (journal) journal->add(event);
    if (!trace.is_open()) return;
    if (const Json json = rsa::trace_json(event); !json.is_null()) {
      trace << json.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
      if (!trace) throw Error({.where = options.trace, .what = "cannot write the trace"});
    }
  };
  const rsa::Result result =
      solve_watched(options.generator.generator(), {problem}, s, observe, [&] {
        view.draw();
      }).front();
  view.clear();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

  if (options.json) {
    Json json = rsa::to_json(result);
    json["settings"] = rsa::to_json(s);
    if (forecast) {
      json["kv"] = {{"forecast_bytes", forecast->peak_bytes},
                    {"peak_bytes", options.generator.peak_kv_bytes()}};
    }
    json["seconds"] = seconds;
    print(json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  } else {
    print_answers(result, s);
  }
  if (!options.run.quiet) {
    std::string pages;
    if (forecast) {
      pages = fmt::format("; KV pages {} of at most {}",
                          bytes_text(static_cast<double>(options.generator.peak_kv_bytes())),
                          bytes_text(static_cast<double>(forecast->peak_bytes)));
    }
    fmt::print(
        stderr,
        "zaya: {}{} tokens generated, {} read, in {:.1f} s; longest context {} of at most {}{}\n",
        result.stopped ? "stopped; " : "", result.usage.output_tokens,
        result.usage.prompt_tokens - result.usage.cached_tokens, seconds, result.largest_context,
        result.context_bound, pages);
  }
  if (!result.error.empty()) throw Error({.where = "solve", .what = result.error});
}

}  // namespace

void add_solve(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "solve",
      "Work on one problem with many candidates that learn from each other: Markovian RSA");
  command->add_option("model", options->model, "Model folder, or hub id in the local cache");
  options->sources = {
      command->add_option("problem", options->positional,
                          "The problem; - or nothing reads it from stdin"),
      command->add_option("--file", options->file, "Read the problem from a file; - is stdin")
          ->type_name("FILE")};
  command->add_option("--system", options->system, "System message");
  command
      ->add_option("--kind", options->kind,
                   "What the problem is: its aggregation prompt, and how answers are compared")
      ->check(CLI::IsMember(rsa::AggregationPrompt::kinds()))
      ->default_val("mathematics");
  command
      ->add_option("--prompt", options->prompt, "An aggregation prompt of your own: a Jinja file")
      ->type_name("FILE");
  command
      ->add_option("--print-prompt", options->print_prompt,
                   "Print a built-in aggregation prompt, to make your own from it, and end")
      ->check(CLI::IsMember(rsa::AggregationPrompt::kinds()));
  command->add_flag("--no-think", options->no_think,
                    "Set enable_thinking to false for the template");
  command->add_flag("--json", options->json, "Print one JSON object: answer, votes, stages, usage");
  command
      ->add_option(
          "--trace", options->trace,
          "Write everything to a file: prompts, reasoning and answers, a JSON line an event")
      ->type_name("FILE");
  options->run.add_to(*command, ", which has problem and settings");
  options->rsa.add_to(*command);
  options->generator.add_to(*command);
  command->callback([options] { solve_command(*options); });
}

}  // namespace zaya::cli
