#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/hub.h"
#include "checkpoint/layout.h"
#include "checkpoint/summary.h"
#include "cli/command.h"
#include "cli/long_job.h"

namespace zaya::cli {
namespace {

/// The rows of one step while a prompt is read; what the memory estimate assumes.
constexpr std::uint64_t kPrefillRows = 512;

struct Options {
  std::string model;
  std::uint64_t context = 0;  ///< 0: the model's own
  bool json = false;
};

/// What is shown, in either form.
struct Report {
  explicit Report(const Checkpoint& c, std::uint64_t context_length)
      : checkpoint(c),
        config(c.config()),
        parameters(count_parameters(config)),
        stored_tensors(tensor_table(config, c.config_file().layout).size()),
        types(type_sums(c)),
        roles(role_sums(c)),
        state(state_size(config)),
        context(context_length == 0 ? config.max_positions : context_length),
        state_f32(state.bytes(config, context, 4)),
        state_bf16(state.bytes(config, context, 2)),
        work(work_bytes(config, std::min(kPrefillRows, context))) {}

  const Checkpoint& checkpoint;
  const ModelConfig& config;
  ParameterCounts parameters;
  std::size_t stored_tensors;
  std::map<std::string, TypeSum> types;
  std::map<Role, RoleSum> roles;
  StateSize state;
  std::uint64_t context;
  std::uint64_t state_f32;
  std::uint64_t state_bf16;
  std::uint64_t work;
};

/// The method and the schemes in words, or null.
Json quantization_json(const ConfigFile& file) {
  if (!file.quantization) return nullptr;
  Json schemes = Json::array();
  for (const QuantScheme& scheme : file.quantization->schemes) {
    schemes.push_back(scheme_text(scheme));
  }
  return {{"method", file.quantization->method},
          {"schemes", std::move(schemes)},
          {"stepped_scales", file.quantization->stepped}};
}

Json json_of(const Report& r) {
  const ConfigFile& file = r.checkpoint.config_file();
  Json types = Json::object();
  for (const auto& [name, sum] : r.types) {
    types[name] = {{"tensors", sum.tensors}, {"bytes", sum.bytes}};
  }
  Json roles = Json::object();
  for (const auto& [role, sum] : r.roles) {
    roles[std::string(role_name(role))] = {{"formats", sum.formats},
                                           {"weights", sum.elements},
                                           {"bytes", sum.bytes},
                                           {"bits_per_weight", sum.bits_per_weight()}};
  }
  const std::uint64_t weights = r.checkpoint.bytes();
  return {{"folder", r.checkpoint.folder().string()},
          {"layout", layout_name(file.layout)},
          {"dialect", file.dialect},
          {"config", native_config_json(r.config, file.dtype)},
          {"tensors", r.stored_tensors},
          {"bytes", weights},
          {"dtypes", std::move(types)},
          {"quantization", quantization_json(file)},
          {"roles", std::move(roles)},
          {"parameters",
           {{"total", r.parameters.total},
            {"active", r.parameters.active},
            {"embedding", r.parameters.embedding},
            {"balancing_biases", r.parameters.balancing}}},
          {"state",
           {{"bytes_per_token_f32", 4 * r.state.token_elements},
            {"bytes_per_token_bf16", 2 * r.state.token_elements},
            {"bytes_per_sequence", r.state.sequence_bytes}}},
          {"memory",
           {{"context", r.context},
            {"weights", weights},
            {"state_f32", r.state_f32},
            {"state_bf16", r.state_bf16},
            {"work", r.work},
            {"total_f32", weights + r.state_f32 + r.work},
            {"total_bf16", weights + r.state_bf16 + r.work}}},
          {"notes", file.notes}};
}

void row(const char* label, const std::string& text) {
  fmt::print("  {:<19}{}\n", label, text);
}

/// Where counts are shown in short too.
constexpr std::uint64_t kLargeCount = 10'000'000;

std::string count_text(std::uint64_t n) {
  if (n < kLargeCount) return fmt::format("{}", n);
  return n < 1'000'000'000 ? fmt::format("{:.2f} M", static_cast<double>(n) / 1e6)
                           : fmt::format("{:.2f} B", static_cast<double>(n) / 1e9);
}

std::string exact_text(std::uint64_t n) {
  return n < kLargeCount ? fmt::format("{}", n) : fmt::format("{} ({})", n, count_text(n));
}

std::string size_text(std::uint64_t bytes) {
  return bytes_text(static_cast<double>(bytes));
}

std::string rope_text(const RopeConfig& rope, const ModelConfig& config) {
  return fmt::format(
      "theta {}, {} of {} dimensions", rope.theta,
      static_cast<int>(rope.partial_rotary_factor * static_cast<double>(config.head_dim)),
      config.head_dim);
}

void print_model(const ModelConfig& c) {
  fmt::print("\nModel\n");
  const auto sliding =
      static_cast<std::size_t>(std::count(c.sliding.begin(), c.sliding.end(), true));
  row("layers", fmt::format("{} (attention + experts each)", c.layers));
  row("hidden size", fmt::format("{}", c.hidden));
  row("vocabulary", fmt::format("{}, head {}{}", c.vocab, c.tied_head ? "tied" : "of its own",
                                c.head_bias ? " with bias" : ""));
  row("attention", fmt::format("{} query heads, {} KV heads of {}{}", c.heads, c.kv_heads,
                               c.head_dim, c.attention_bias ? ", with biases" : ""));
  row("convolutions",
      fmt::format("{} and {} taps over {} channels", c.conv_time0, c.conv_time1, c.conv_width()));
  row("positions", fmt::format("{}; {}", c.max_positions, rope_text(c.rope, c)));
  if (sliding != 0) {
    row("sliding layers",
        fmt::format("{} with a window of {}; {}", sliding, c.window, rope_text(c.sliding_rope, c)));
  }
  row("experts",
      fmt::format("{} of width {} a layer, 1 a token{}{}", c.experts, c.expert_width,
                  c.skip_class ? ", and a skip class" : "", c.expert_bias ? ", with biases" : ""));
  row("router", fmt::format("width {}{}", c.router_hidden,
                            c.eda ? ", state carried over depth" : ", no state over depth"));
  row("tokens", fmt::format("bos {}, pad {}, eos {}", c.bos, c.pad, fmt::join(c.eos, " ")));
}

void print_report(const Report& r) {
  const ConfigFile& file = r.checkpoint.config_file();
  fmt::print("{}\n", r.checkpoint.folder().string());
  fmt::print("\nCheckpoint\n");
  row("layout", file.dialect == layout_name(file.layout)
                    ? file.dialect
                    : fmt::format("{} ({} schema)", layout_name(file.layout), file.dialect));
  row("tensors", fmt::format("{}", r.stored_tensors));
  row("bytes", fmt::format("{} ({})", r.checkpoint.bytes(), size_text(r.checkpoint.bytes())));
  if (file.quantization) row("quantised by", file.quantization->method);

  fmt::print("\nWeights\n");
  for (const auto& [role, sum] : r.roles) {
    row(std::string(role_name(role)).c_str(),
        fmt::format("{:>9}  {:5.2f} bits a weight  {}", size_text(sum.bytes), sum.bits_per_weight(),
                    fmt::join(sum.formats, "; ")));
  }

  print_model(r.config);

  const ParameterCounts& p = r.parameters;
  fmt::print("\nParameters\n");
  row("total", exact_text(p.total));
  row("active a token", exact_text(p.active));
  row("embedding", exact_text(p.embedding));
  row("without embedding",
      fmt::format("{}, {} active", count_text(p.total - p.embedding),
                  count_text(p.active - p.embedding / (r.config.tied_head ? 1 : 2))));

  fmt::print("\nState\n");
  row("a token",
      fmt::format("{} in f32, {} in bf16 (keys and values)", size_text(4 * r.state.token_elements),
                  size_text(2 * r.state.token_elements)));
  row("a sequence", fmt::format("{} (CCA state, f32)", size_text(r.state.sequence_bytes)));

  const std::uint64_t weights = r.checkpoint.bytes();
  fmt::print("\nMemory to generate, one sequence of {} tokens\n", r.context);
  row("weights", size_text(weights));
  row("state",
      fmt::format("{} in f32, {} in bf16", size_text(r.state_f32), size_text(r.state_bf16)));
  row("work space", fmt::format("about {}", size_text(r.work)));
  row("in all", fmt::format("{} in f32, {} in bf16", size_text(weights + r.state_f32 + r.work),
                            size_text(weights + r.state_bf16 + r.work)));

  if (file.notes.empty()) return;
  fmt::print("\nNotes\n");
  for (const std::string& note : file.notes) fmt::print("  {}\n", note);
}

void inspect(const Options& options) {
  const Checkpoint checkpoint = Checkpoint::open(resolve_model_folder(options.model));
  const Report report(checkpoint, options.context);
  if (options.json) {
    fmt::print("{}\n", json_of(report).dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    print_report(report);
  }
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("inspect", "Show what a checkpoint holds and needs");
  command->add_option("model", options->model, "Checkpoint folder, or hub id in the local cache")
      ->required()
      ->type_name("MODEL");
  command
      ->add_option("--context", options->context,
                   "Tokens of the sequence that memory is reckoned for (default: the model's own)")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40).description(""))
      ->type_name("TOKENS");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([options] { inspect(*options); });
}

}  // namespace zaya::cli
