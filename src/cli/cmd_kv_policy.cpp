#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/hub.h"
#include "cli/command.h"
#include "cli/long_job.h"
#include "cli/model_options.h"
#include "cli/text_input.h"
#include "compute/attention.h"
#include "engine/kv_calibration.h"
#include "text/tokenizer.h"
#include "zaya/error.h"

namespace zaya::cli {
namespace {

struct Options {
  std::string model;
  std::string text;
  std::string out;
  std::size_t budget = 0;
  std::size_t context = 1024;
  ModelOptions run;
};

/// What has been measured so far, kept beside the output so that a stopped run goes on where it
/// was. The file goes when the policy is written.
class Journal {
 public:
  /// `identity` says what the numbers are of; a journal of something else starts anew.
  Journal(std::string path, const Json& identity) : path_(std::move(path)) {
    if (std::ifstream in(path_); in) {
      std::string line;
      bool ours = std::getline(in, line) && line == identity.dump();
      while (ours && std::getline(in, line)) {
        try {
          const Json json = parse_json(line, path_);
          const JsonView view(json, path_);
          known_[{static_cast<std::size_t>(view.integer("layer", 0, 1 << 20)), view.boolean("keys"),
                  parse_kv_format(view.string("format"), path_)}] = view.number("kl");
        } catch (const Error&) {
          break;  // cut off while it was written
        }
      }
    }
    out_.open(path_, std::ios::trunc);
    out_ << identity.dump() << "\n";
    const auto known = known_;
    for (const auto& [choice, kl] : known) add(choice, kl);
    if (!out_) throw Error({.where = path_, .what = "cannot be written"});
  }

  bool has(const KvChoice& choice) const { return known_.contains(choice); }
  void add(const KvChoice& choice, double kl) {
    known_[choice] = kl;
    const Json line{{"layer", choice.layer},
                    {"keys", choice.keys},
                    {"format", kv_format_name(choice.format)},
                    {"kl", kl}};
    out_ << line.dump() << std::endl;
  }
  const std::map<KvChoice, double>& known() const { return known_; }
  void remove() const { std::filesystem::remove(path_); }

 private:
  std::string path_;
  std::map<KvChoice, double> known_;
  std::ofstream out_;
};

std::string_view bytes_of(const std::vector<TokenId>& tokens) {
  return {reinterpret_cast<const char*>(tokens.data()), tokens.size() * sizeof(TokenId)};
}

std::string line_of(std::string_view name, const ModelConfig& config, const KvPolicy& policy,
                    const Divergence::Result& result) {
  return fmt::format(
      "{:<10} {:>8} bytes a token   KL mean {:.3g}  median {:.3g} nats   same top-1 {:.2f} %\n",
      name, StateLayout(config, policy).bytes_per_token(), result.mean_kl, result.median_kl,
      100 * result.top1_agreement);
}

void make_policy(const Options& options) {
  const auto checkpoint =
      std::make_shared<const Checkpoint>(Checkpoint::open(resolve_model_folder(options.model)));
  const ModelConfig& config = checkpoint->config();
  std::map<KvChoice, double> free;
  for (const KvChoice& choice : kv_choices(config.layers)) free[choice] = 0;
  choose_kv_policy(config, free, options.budget);  // refuses a budget before the long work

  TextInput input(options.text);
  const std::string text = input.read_all();
  require_utf8(text, input.name());
  const std::vector<TokenId> tokens =
      Tokenizer::load(checkpoint->folder() / "tokenizer.json").encode(text, true);
  Journal journal(options.out + ".measured",
                  {{"model", std::filesystem::canonical(checkpoint->folder()).string()},
                   {"bytes", checkpoint->bytes()},
                   {"compute", options.run.compute},
                   {"tokens", tokens.size()},
                   {"hash", std::hash<std::string_view>()(bytes_of(tokens))},
                   {"context", options.context}});

  KvPolicy policy;
  std::string table;
  run_long_job("kv-policy", Unit::steps, [&](const Progress& progress) {
    const KvDivergence divergence(checkpoint, options.run.runner_options(), tokens,
                                  options.context);
    const std::vector<KvChoice> choices = kv_choices(config.layers);
    const std::size_t total = choices.size() + 4;
    std::size_t done = 0;
    for (const KvChoice& choice : choices) {
      report(progress, ++done, total);
      if (journal.has(choice)) continue;
      KvPolicy one = uniform_kv_policy(config, "bf16");
      (choice.keys ? one[choice.layer].keys : one[choice.layer].values) = choice.format;
      journal.add(choice, divergence.measure(one).mean_kl);
    }
    policy = choose_kv_policy(config, journal.known(), options.budget);
    table += line_of("chosen", config, policy, divergence.measure(policy));
    for (const char* name : {"fp8", "int8", "int4"}) {
      report(progress, ++done, total);
      const KvPolicy uniform = uniform_kv_policy(config, name);
      table += line_of(name, config, uniform, divergence.measure(uniform));
    }
  });
  write_file(
      options.out,
      kv_policy_json(policy, {{"bytes_per_token", StateLayout(config, policy).bytes_per_token()}}));
  journal.remove();
  fmt::print("{}", table);
}

}  // namespace

void add_kv_policy(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "kv-policy",
      "Choose how each layer's keys and values are stored, by what it costs on a text");
  command->add_option("model", options->model, "Checkpoint folder, or hub id in the local cache")
      ->required()
      ->type_name("MODEL");
  command
      ->add_option("--budget", options->budget, "Bytes of K and V that one token may take in all")
      ->required()
      ->type_name("BYTES");
  command->add_option("--text", options->text, "Text to measure on")->required()->type_name("FILE");
  command->add_option("-o,--out", options->out, "File to write, for --kv-policy")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--context", options->context,
                   "Tokens of each of 4 windows of the text; the last 64 predictions count")
      ->check(CLI::Range(65, 1 << 20))
      ->default_val(1024);
  options->run.add_to(*command, "fast");
  command->callback([options] { make_policy(*options); });
}

}  // namespace zaya::cli
