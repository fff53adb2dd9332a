#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/json.h"
#include "checkpoint/hub.h"
#include "cli/command.h"
#include "cli/long_job.h"
#include "train/prepare.h"

namespace zaya::cli {
namespace {

struct Options {
  std::vector<std::string> inputs;
  std::string model;
  std::string out;
  std::size_t max_tokens = 0;
  bool json = false;
};

void prepare(const Options& options) {
  train::PrepareOptions prepare;
  prepare.inputs.assign(options.inputs.begin(), options.inputs.end());
  prepare.model = resolve_model_folder(options.model);
  prepare.out = options.out;
  prepare.max_tokens = options.max_tokens;
  train::PrepareResult result;
  run_long_job("prepare", Unit::bytes,
               [&](const Progress& progress) { result = train::prepare(prepare, progress); });
  if (options.json) {
    const Json json = {{"shards", result.shards},     {"kept", result.kept},
                       {"examples", result.examples}, {"dropped", result.dropped},
                       {"tokens", result.tokens},     {"targets", result.targets}};
    fmt::print("{}\n", json.dump(2));
    return;
  }
  fmt::print("examples  {}\ntokens    {}, {} of them targets\nshards    {}, {} of them kept\n",
             result.examples, result.tokens, result.targets, result.shards, result.kept);
  if (result.dropped > 0) fmt::print("dropped   {} that are too long\n", result.dropped);
}

}  // namespace

void add_prepare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("prepare", "Turn text and conversations into tokens for zaya train");
  command
      ->add_option("inputs", options->inputs,
                   "JSONL files: {\"text\": ...} or {\"messages\": [...]} a line")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--model", options->model,
                   "Folder or hub id whose tokenizer and chat template to use")
      ->required()
      ->type_name("MODEL");
  command
      ->add_option("-o,--out", options->out,
                   "Folder for token shards; complete ones of the same data are kept")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--max-tokens", options->max_tokens,
                   "Trim the thoughts of longer conversations, never their answers")
      ->check(CLI::PositiveNumber.description(""))
      ->type_name("N");
  command->add_flag("--json", options->json, "Print counts as JSON");
  command->callback([options] { prepare(*options); });
}

}  // namespace zaya::cli
