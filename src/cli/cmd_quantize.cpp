#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/hub.h"
#include "checkpoint/quantize.h"
#include "cli/calibration.h"
#include "cli/command.h"
#include "cli/long_job.h"
#include "cli/text_input.h"
#include "text/tokenizer.h"

namespace zaya::cli {
namespace {

struct Options {
  std::string model;
  std::string out;
  std::string preset;
  std::string experts;
  std::string attention;
  std::string router;
  std::string embed;
  std::string head;
  std::string calibrate;
  std::uint64_t max_shard = kDefaultShardBytes;
};

QuantizeOptions formats_of(const Options& options, bool tied_head) {
  if (options.preset.empty() && options.experts.empty() && options.attention.empty() &&
      options.router.empty() && options.embed.empty() && options.head.empty()) {
    throw UsageError("quantize needs --preset, or a format for a part of the model");
  }
  QuantizeOptions formats;
  if (!options.preset.empty()) formats = quantize_preset(options.preset);
  const auto set = [](const std::string& name, WeightFormat& format) {
    if (!name.empty()) parse_weight_format(name, format);
  };
  set(options.experts, formats.experts);
  set(options.attention, formats.attention);
  set(options.router, formats.router);
  set(options.embed, formats.embed);
  set(options.head, formats.head);
  if (!tied_head || options.head.empty()) return formats;
  if (!options.embed.empty() && options.embed != options.head) {
    throw UsageError("the head of this model is its embedding: --head and --embed must agree");
  }
  formats.embed = formats.head;
  return formats;
}

/// Runs the text through the model, in its best numerics, and sums up the inputs of its matrices.
Calibration calibrate(const std::shared_ptr<const Checkpoint>& checkpoint,
                      const std::string& file) {
  TextInput input(file);
  const std::string text = input.read_all();
  require_utf8(text, input.name());
  const std::vector<TokenId> tokens =
      Tokenizer::load(checkpoint->folder() / "tokenizer.json").encode(text, true);
  Runner runner(checkpoint, {.compute = Compute::f32});
  Calibration calibration(runner.model().weights());
  run_long_job("calibrate", Unit::tokens,
               [&](const Progress& progress) { calibration.run(runner, tokens, progress); });
  return calibration;
}

void quantize_model(const Options& options) {
  const auto checkpoint =
      std::make_shared<const Checkpoint>(Checkpoint::open(resolve_model_folder(options.model)));
  QuantizeOptions formats = formats_of(options, checkpoint->config().tied_head);
  formats.max_shard_bytes = options.max_shard;
  std::optional<Calibration> calibration;
  std::vector<float> importance;
  if (!options.calibrate.empty()) {
    calibration = calibrate(checkpoint, options.calibrate);
    formats.importance = [&](const std::string& name) -> std::span<const float> {
      importance = calibration->importance(name);
      return importance;
    };
  }
  std::vector<std::string> notes;
  run_long_job("quantize", Unit::bytes, [&](const Progress& progress) {
    notes = quantize(*checkpoint, formats, options.out, progress);
  });
  for (const std::string& note : notes) std::fprintf(stderr, "zaya: note: %s\n", note.c_str());
}

}  // namespace

void add_quantize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("quantize", "Write a smaller, faster copy of a checkpoint");
  command->add_option("model", options->model, "Checkpoint folder, or hub id in the local cache")
      ->required()
      ->type_name("MODEL");
  command->add_option("-o,--out", options->out, "Folder to write; new or empty")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--preset", options->preset,
                   "q8: 8 bits, near lossless; q4: experts 4 bits, the rest 8; q4-small: 4 bits")
      ->check(CLI::IsMember({"q8", "q4", "q4-small"}));
  const auto part = [&](const char* name, std::string& value, const char* what) {
    command->add_option(name, value, what)
        ->check(CLI::IsMember({"bf16", "int8", "int4", "mxfp4", "nvfp4", "fp8"}))
        ->group("Formats of parts, before the preset's");
  };
  part("--experts", options->experts, "Gate, up and down projections");
  part("--attention", options->attention, "Query, key, value and output projections");
  part("--router", options->router, "Linear layers of the router");
  part("--embed", options->embed, "Embedding; the head too where it is tied");
  part("--head", options->head, "Head");
  command
      ->add_option("--calibrate", options->calibrate,
                   "Text to run through the model first: inputs of attention and experts that are "
                   "large there count more in the search for scales")
      ->type_name("FILE");
  command
      ->add_option("--max-shard-size", options->max_shard,
                   "Split weights into files of this size (500MB, 5GB)")
      ->transform(CLI::AsSizeValue(true).description(""))
      ->type_name("SIZE")
      ->default_str("5GB");
  command->callback([options] { quantize_model(*options); });
}

}  // namespace zaya::cli
