#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "engine/runner.h"
#include "zaya/token.h"

namespace zaya::cli {

/// The options of every command that runs a model.
struct ModelOptions {
  std::string compute;
  int threads = 0;
  bool deterministic = false;
  bool full_head = true;
  std::string kv_cache_dtype = "auto";
  std::string kv_policy;
  std::string adapter;

  /// Adds --compute and --deterministic.
  void add_numerics_to(CLI::App& command, const std::string& default_compute);
  /// The same and --threads.
  void add_to(CLI::App& command, const std::string& default_compute);
  /// Adds --full-head, for commands that generate.
  void add_head_to(CLI::App& command);
  /// Adds --kv-cache-dtype and --kv-policy. `of`: whose cache, where there are several models.
  void add_kv_to(CLI::App& command, const std::string& of = "");
  /// Adds --adapter.
  void add_adapter_to(CLI::App& command);
  RunnerOptions runner_options() const;
  /// Opens and checks the checkpoint of a model argument and makes it ready to run.
  std::unique_ptr<Runner> load(const std::string& model) const;
  /// The adapter asked for, or null.
  std::shared_ptr<const Adapter> load_adapter(const Runner& runner) const;
};

/// "5,9,2" (commas, spaces or both) as token ids. Throws UsageError naming what is no id.
std::vector<TokenId> parse_token_list(std::string_view text);

}  // namespace zaya::cli
