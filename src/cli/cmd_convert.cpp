#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/convert.h"
#include "checkpoint/hub.h"
#include "cli/command.h"
#include "cli/long_job.h"

namespace zaya::cli {
namespace {

struct Options {
  std::string model;
  std::string layout;
  std::string out;
  std::uint64_t max_shard = kDefaultShardBytes;
};

void convert(const Options& options) {
  const Checkpoint checkpoint = Checkpoint::open(resolve_model_folder(options.model));
  const Layout layout = options.layout == "native" ? Layout::native : Layout::legacy;
  std::vector<std::string> notes;
  run_long_job("convert", Unit::bytes, [&](const Progress& progress) {
    notes = convert_checkpoint(checkpoint, layout, options.out, options.max_shard, progress);
  });
  for (const std::string& note : notes) std::fprintf(stderr, "zaya: note: %s\n", note.c_str());
}

}  // namespace

void add_convert(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("convert", "Re-lay a checkpoint, bit for bit");
  command->add_option("model", options->model, "Checkpoint folder, or hub id in the local cache")
      ->required()
      ->type_name("MODEL");
  command
      ->add_option(
          "--layout", options->layout,
          "native: hybrid layers (Transformers); legacy: alternating layers (Zyphra's fork)")
      ->required()
      ->check(CLI::IsMember({"native", "legacy"}));
  command->add_option("-o,--out", options->out, "Folder to write; new or empty")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--max-shard-size", options->max_shard,
                   "Split weights into files of this size (500MB, 5GB)")
      ->transform(CLI::AsSizeValue(true).description(""))
      ->type_name("SIZE")
      ->default_str("5GB");
  command->callback([options] { convert(*options); });
}

}  // namespace zaya::cli
