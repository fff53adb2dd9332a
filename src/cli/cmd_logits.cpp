#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "checkpoint/hub.h"
#include "checkpoint/safetensors.h"
#include "cli/command.h"
#include "cli/long_job.h"
#include "cli/model_options.h"
#include "text/tokenizer.h"

namespace zaya::cli {
namespace {

// Logits of 64 rows of ZAYA1's vocabulary take 67 MB.
constexpr std::size_t kRows = 64;

struct Options {
  std::string model;
  std::string tokens;
  std::string prompt;
  std::string out;
  ModelOptions run;
};

std::vector<TokenId> input_of(const Options& options) {
  if (!options.tokens.empty()) return parse_token_list(options.tokens);
  const auto folder = resolve_model_folder(options.model);
  return Tokenizer::load(folder / "tokenizer.json").encode(options.prompt, false);
}

void logits(const Options& options) {
  if (options.tokens.empty() == options.prompt.empty()) {
    throw UsageError("logits needs either --tokens or --prompt");
  }
  const std::vector<TokenId> input = input_of(options);
  if (input.empty()) throw UsageError("logits needs at least one token");
  const std::unique_ptr<Runner> runner = options.run.load(options.model);
  const std::size_t vocab = runner->config().vocab;

  run_long_job("logits", Unit::tokens, [&](const Progress& progress) {
    SafetensorsWriter file(options.out, {{"logits", DType::f32, {input.size(), vocab}}});
    Sequence sequence = runner->new_sequence();
    for (std::size_t i = 0; i < input.size(); i += kRows) {
      const std::size_t n = std::min(kRows, input.size() - i);
      const Runner::Item item{sequence, std::span(input).subspan(i, n), Logits::all};
      file.append(std::as_bytes(runner->step({&item, 1})));
      report(progress, i + n, input.size());
    }
    file.commit();
  });
}

}  // namespace

void add_logits(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "logits", "Write the logits of every position as tensor `logits` [n, vocab], f32");
  command->add_option("model", options->model, "Checkpoint folder, or hub id in the local cache")
      ->required();
  command->add_option("--tokens", options->tokens, "Input as token ids: 5,9,2")->type_name("IDS");
  command->add_option("--prompt", options->prompt, "Input as text; no special tokens are added");
  command->add_option("-o,--out", options->out, "Safetensors file to write")
      ->required()
      ->type_name("FILE");
  options->run.add_to(*command, "f32");
  options->run.add_kv_to(*command);
  command->callback([options] { logits(*options); });
}

}  // namespace zaya::cli
