#include <cstdint>
#include <memory>
#include <string>

#include "checkpoint/config.h"
#include "checkpoint/hub.h"
#include "checkpoint/init.h"
#include "cli/command.h"
#include "cli/long_job.h"

namespace zaya::cli {
namespace {

struct Options {
  std::string config;
  std::string dtype = "bf16";
  std::string out;
  std::string text_from;
  InitOptions init;
};

void init(Options options) {
  options.init.dtype = options.dtype == "f32" ? DType::f32 : DType::bf16;
  if (!options.text_from.empty()) options.init.text_from = resolve_model_folder(options.text_from);
  const ConfigFile config = read_config_file(options.config);
  run_long_job("init", Unit::bytes, [&](const Progress& progress) {
    init_checkpoint(config.model, options.out, options.init, progress);
  });
}

}  // namespace

void add_init(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("init", "Write a randomly initialised checkpoint");
  command->add_option("--config", options->config, "config.json of any dialect")
      ->required()
      ->type_name("FILE");
  command->add_option("--seed", options->init.seed, "Same seed, same weights")
      ->check(CLI::NonNegativeNumber.description(""))
      ->default_val(0);
  command->add_option("--dtype", options->dtype, "Element type of the weights")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->default_val("bf16");
  command->add_option("-o,--out", options->out, "Folder to write; new or empty")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--text-from", options->text_from,
                   "Copy tokenizer, chat template and generation defaults from this model")
      ->type_name("DIR");
  command
      ->add_option("--max-shard-size", options->init.max_shard_bytes,
                   "Split weights into files of this size (500MB, 5GB)")
      ->transform(CLI::AsSizeValue(true).description(""))
      ->type_name("SIZE")
      ->default_str("5GB");
  command->callback([options] { init(*options); });
}

}  // namespace zaya::cli
