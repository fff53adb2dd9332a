#include "cli/model_options.h"

#include <charconv>

#include <fmt/format.h>

#include "checkpoint/hub.h"

namespace zaya::cli {

void ModelOptions::add_numerics_to(CLI::App& command, const std::string& default_compute) {
  command
      .add_option("--compute", compute,
                  "Numerics: f32 as the reference implementation, or fast: inputs of the large "
                  "products in bf16 or in integers of 8 or 16 bits, KV cache in bf16")
      ->check(CLI::IsMember({"f32", "fast"}))
      ->default_val(default_compute);
  command.add_flag("--deterministic", deterministic,
                   "The same bits however a prompt is cut into steps and whatever runs beside it; "
                   "slower, and with the full LM head");
}

void ModelOptions::add_to(CLI::App& command, const std::string& default_compute) {
  add_numerics_to(command, default_compute);
  command.add_option("--threads", threads, "Threads (default: every core this process may use)")
      ->check(CLI::Range(1, 1024));
}

void ModelOptions::add_head_to(CLI::App& command) {
  full_head = false;
  command.add_flag("--full-head", full_head,
                   "Read the whole LM head for every token, rather than a 4-bit copy of it and "
                   "the rows of the likely tokens");
}

void ModelOptions::add_kv_to(CLI::App& command, const std::string& of) {
  CLI::Option* dtype =
      command
          .add_option(
              "--kv-cache-dtype", kv_cache_dtype,
              "How keys and values" + of + " are kept: auto is f32 or bf16, as --compute says")
          ->check(CLI::IsMember({"auto", "bfloat16", "fp8", "fp8_e4m3", "int8", "int4"}))
          ->default_val("auto");
  command
      .add_option("--kv-policy", kv_policy,
                  "A file that says so for each layer (zaya kv-policy writes one)")
      ->type_name("FILE")
      ->excludes(dtype);
}

void ModelOptions::add_adapter_to(CLI::App& command) {
  command
      .add_option("--adapter", adapter,
                  "LoRA adapter of the attention projections, as PEFT saves it: a folder, or a hub "
                  "id in the local cache")
      ->type_name("FOLDER");
}

RunnerOptions ModelOptions::runner_options() const {
  return {.compute = compute == "f32" ? Compute::f32 : Compute::fast,
          .threads = threads,
          .deterministic = deterministic,
          .kv_cache_dtype = kv_cache_dtype,
          .kv_policy = kv_policy,
          .screen_head = !full_head && !deterministic};
}

std::unique_ptr<Runner> ModelOptions::load(const std::string& model) const {
  auto checkpoint =
      std::make_shared<const Checkpoint>(Checkpoint::open(resolve_model_folder(model)));
  return std::make_unique<Runner>(std::move(checkpoint), runner_options());
}

std::shared_ptr<const Adapter> ModelOptions::load_adapter(const Runner& runner) const {
  if (adapter.empty()) return nullptr;
  return std::make_shared<const Adapter>(
      runner.model().load_adapter(resolve_model_folder(adapter)));
}

std::vector<TokenId> parse_token_list(std::string_view text) {
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == ',' || text[i] == ' ' || text[i] == '\n' || text[i] == '\t') {
      ++i;
      continue;
    }
    const std::size_t end = std::min(text.find_first_of(", \n\t", i), text.size());
    TokenId id = 0;
    const auto [stop, error] = std::from_chars(text.data() + i, text.data() + end, id);
    if (error != std::errc{} || stop != text.data() + end || id < 0) {
      throw UsageError(fmt::format("'{}' is no token id", text.substr(i, end - i)));
    }
    ids.push_back(id);
    i = end;
  }
  return ids;
}

}  // namespace zaya::cli
