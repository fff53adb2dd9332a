#include <cstdio>
#include <memory>
#include <string>

#include "base/json.h"
#include "checkpoint/hub.h"
#include "cli/command.h"
#include "text/chat.h"

namespace zaya::cli {
namespace {

struct Options {
  std::string model;
  std::string messages;
  std::string tools;
  std::string kwargs = "{}";
  bool no_generation_prompt = false;
};

Json read_json(const std::string& path) {
  if (path != "-") return read_json_file(path);
  std::string text;
  char buffer[65536];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, stdin)) text.append(buffer, n);
  return parse_json(text, "stdin");
}

void run(const Options& options) {
  if (options.messages == "-" && options.tools == "-") {
    throw UsageError("--messages and --tools cannot both be stdin");
  }
  const ChatTemplate chat = ChatTemplate::load(resolve_model_folder(options.model));
  for (const std::string& note : chat.notes())
    std::fprintf(stderr, "zaya: note: %s\n", note.c_str());
  ChatRequest request{.messages = read_json(options.messages)};
  if (!options.tools.empty()) request.tools = read_json(options.tools);
  request.kwargs = parse_json(options.kwargs, "--kwargs");
  request.add_generation_prompt = !options.no_generation_prompt;
  const std::string prompt = chat.render(request);
  std::fwrite(prompt.data(), 1, prompt.size(), stdout);
}

}  // namespace

void add_template(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("template", "Print the prompt that a model's chat template makes.");
  command->add_option("model", options->model, "Model folder (only its text files), or a hub id")
      ->required();
  command
      ->add_option("--messages", options->messages,
                   "JSON file with the list of messages, or - for stdin")
      ->required();
  command->add_option("--tools", options->tools,
                      "JSON file with the list of tools, or - for stdin");
  command->add_option("--kwargs", options->kwargs,
                      "JSON object of further variables, such as {\"enable_thinking\": false}");
  command->add_flag("--no-generation-prompt", options->no_generation_prompt,
                    "Do not open the assistant's turn at the end");
  command->callback([options] { run(*options); });
}

}  // namespace zaya::cli
