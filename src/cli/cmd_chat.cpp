#include <memory>
#include <string>

#include <fmt/format.h>

#include "checkpoint/hub.h"
#include "cli/chat_session.h"
#include "cli/command.h"
#include "cli/line_editor.h"
#include "cli/model_options.h"
#include "cli/sampling_options.h"
#include "cli/terminal.h"
#include "zaya/error.h"

namespace zaya::cli {
namespace {

struct Options {
  std::string model;
  std::string system;
  std::string thinking;
  std::string load;
  bool no_think = false;
  bool stats = false;
  ModelOptions run;
  SamplingOptions sampling;
};

// A person sees what went wrong and goes on; a script must not answer on after a failed line.
bool handle(ChatSession& session, const std::string& line, bool interactive) {
  try {
    return session.handle(line);
  } catch (const Error& e) {
    if (!interactive) throw;
    fmt::print(stderr, "{}\n", e.what());
    return true;
  }
}

void loop(ChatSession& session) {
  LineEditor editor;
  const Interrupt interrupt(Interrupt::Again::ignored);
  if (editor.is_interactive()) print("/help lists the commands, Ctrl-D leaves.\n");
  std::string line;
  for (;;) {
    const LineEditor::Result result = editor.read(line);
    if (result == LineEditor::Result::end) return;
    if (result == LineEditor::Result::cancelled) continue;
    if (!handle(session, line, editor.is_interactive())) return;
  }
}

void chat(const Options& options) {
  options.sampling.check();
  if (options.sampling.wants_logprobs()) throw UsageError("--logprobs is for generate --json");
  const std::filesystem::path folder = resolve_model_folder(options.model);
  ChatTemplate chat_template = ChatTemplate::load(folder);
  const auto text = std::make_shared<const ModelText>(
      load_model_text(folder, read_config(folder).model, options.sampling.use_generation_config()));
  if (!text->tokenizer) {
    throw Error({.where = folder.string(), .what = "there is no tokenizer.json, so no text"});
  }
  for (const std::string& note : chat_template.notes())
    fmt::print(stderr, "zaya: note: {}\n", note);
  for (const std::string& note : text->generation.notes) {
    fmt::print(stderr, "zaya: note: {}\n", note);
  }

  SavedChat state;
  state.think = !options.no_think;
  state.sampling = options.sampling.over(text->generation.params);
  validate(state.sampling, text->vocab);
  if (!options.system.empty()) {
    state.messages.push_back({{"role", "system"}, {"content", options.system}});
  }
  const auto runner = options.run.load(options.model);
  const bool show_thinking =
      options.thinking.empty() ? stdout_is_terminal() : options.thinking == "show";
  ChatSession session(*runner, options.run.load_adapter(*runner), text, std::move(chat_template),
                      std::move(state), {.show_thinking = show_thinking, .stats = options.stats});
  if (!options.load.empty()) session.handle("/load " + options.load);
  loop(session);
}

}  // namespace

void add_chat(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "chat", "Talk with a model; with stdin from a file or pipe, each line of it is a turn");
  command->add_option("model", options->model, "Model folder, or hub id in the local cache")
      ->required();
  command->add_option("--system", options->system, "System message");
  command->add_flag("--no-think", options->no_think, "Let the model answer without reasoning");
  command
      ->add_option("--thinking", options->thinking,
                   "Show reasoning or fold it away (default: show on a terminal, else hide)")
      ->check(CLI::IsMember({"show", "hide"}));
  command->add_option("--load", options->load, "Go on with a conversation that /save wrote")
      ->type_name("FILE");
  command->add_flag("--stats", options->stats, "Tell tokens and speed after each answer");
  options->run.add_to(*command, "fast");
  options->run.add_head_to(*command);
  options->run.add_kv_to(*command);
  options->run.add_adapter_to(*command);
  options->sampling.add_to(*command);
  command->callback([options] { chat(*options); });
}

}  // namespace zaya::cli
