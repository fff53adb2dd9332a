#pragma once

#include <stdexcept>
#include <string>

#include <CLI/CLI.hpp>

namespace zaya::cli {

/// Wrong usage found after parsing (options that exclude each other, say): exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One function a command, one file a function: it adds the subcommand with its options and the
// callback that does the work. Results go to stdout, everything else to stderr; a callback throws
// Error (exit 1) or UsageError (exit 2).
void add_bench(CLI::App& app);
void add_chat(CLI::App& app);
void add_compare(CLI::App& app);
void add_convert(CLI::App& app);
void add_detokenize(CLI::App& app);
void add_eval(CLI::App& app);
void add_generate(CLI::App& app);
void add_init(CLI::App& app);
void add_inspect(CLI::App& app);
void add_kv_policy(CLI::App& app);
void add_logits(CLI::App& app);
void add_plot(CLI::App& app);
void add_prepare(CLI::App& app);
void add_quantize(CLI::App& app);
void add_serve(CLI::App& app);
void add_solve(CLI::App& app);
void add_template(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_train(CLI::App& app);

}  // namespace zaya::cli
