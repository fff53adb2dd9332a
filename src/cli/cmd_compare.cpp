#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/hub.h"
#include "cli/command.h"
#include "cli/long_job.h"
#include "cli/model_options.h"
#include "engine/divergence.h"
#include "text/tokenizer.h"
#include "zaya/error.h"

namespace zaya::cli {
namespace {

// Rows of logits held of both models at once: 2 x 67 MB with ZAYA1's vocabulary.
constexpr std::size_t kRows = 64;

struct Options {
  std::string reference;
  std::string other;
  std::string file;
  std::string tokens;
  std::size_t context = 2048;
  std::string compute_other;
  ModelOptions run;
  ModelOptions kv_other;
  bool json = false;
};

std::vector<TokenId> input_of(const Options& options) {
  if (!options.tokens.empty()) return parse_token_list(options.tokens);
  const auto folder = resolve_model_folder(options.reference);
  return Tokenizer::load(folder / "tokenizer.json").encode(read_file(options.file), false);
}

/// Feeds both models the text, `context` tokens at a time from an empty state, and compares every
/// prediction of a next token.
Divergence measure(Runner& a, Runner& b, std::span<const TokenId> input, std::size_t context,
                   const Progress& progress) {
  Divergence divergence;
  const std::size_t vocab = a.config().vocab;
  for (std::size_t start = 0; start + 1 < input.size(); start += context) {
    const auto window = input.subspan(start, std::min(context, input.size() - start));
    Sequence x = a.new_sequence();
    Sequence y = b.new_sequence();
    // The last token of a window predicts one outside of it.
    for (std::size_t i = 0; i + 1 < window.size(); i += kRows) {
      const auto part = window.subspan(i, std::min(kRows, window.size() - 1 - i));
      const Runner::Item item_a{x, part, Logits::all};
      const Runner::Item item_b{y, part, Logits::all};
      const auto reference = a.step({&item_a, 1});
      const auto other = b.step({&item_b, 1});
      for (std::size_t r = 0; r < part.size(); ++r) {
        divergence.add(reference.subspan(r * vocab, vocab), other.subspan(r * vocab, vocab),
                       window[i + r + 1]);
      }
      report(progress, start + i + part.size(), input.size());
    }
  }
  return divergence;
}

void compare(const Options& options) {
  if (options.tokens.empty() == options.file.empty()) {
    throw UsageError("compare needs either --text or --tokens");
  }
  const std::vector<TokenId> input = input_of(options);
  const std::unique_ptr<Runner> a = options.run.load(options.reference);
  ModelOptions run_other = options.run;
  if (!options.compute_other.empty()) run_other.compute = options.compute_other;
  run_other.kv_cache_dtype = options.kv_other.kv_cache_dtype;
  run_other.kv_policy = options.kv_other.kv_policy;
  const std::unique_ptr<Runner> b = run_other.load(options.other);
  if (a->config().vocab != b->config().vocab) {
    throw Error({.where = options.other,
                 .what = "its vocabulary is not the reference's",
                 .expected = fmt::format("{} tokens", a->config().vocab),
                 .found = fmt::format("{} tokens", b->config().vocab)});
  }
  Divergence divergence;
  run_long_job("compare", Unit::tokens, [&](const Progress& progress) {
    divergence = measure(*a, *b, input, options.context, progress);
  });
  const Divergence::Result r = divergence.result();
  if (options.json) {
    const Json json{{"positions", r.positions},
                    {"mean_kl", r.mean_kl},
                    {"median_kl", r.median_kl},
                    {"p99_kl", r.p99_kl},
                    {"max_kl", r.max_kl},
                    {"top1_agreement", r.top1_agreement},
                    {"perplexity_a", r.reference_perplexity},
                    {"perplexity_b", r.other_perplexity}};
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print("positions           {}\n", r.positions);
  fmt::print("KL(A || B)          mean {:.3g}  median {:.3g}  99% {:.3g}  max {:.3g} nats\n",
             r.mean_kl, r.median_kl, r.p99_kl, r.max_kl);
  fmt::print("same top-1 token    {:.2f} %\n", 100 * r.top1_agreement);
  fmt::print("perplexity          A {:.4f}  B {:.4f}\n", r.reference_perplexity,
             r.other_perplexity);
}

}  // namespace

void add_compare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "compare", "Measure how far model B's predictions are from model A's on a text");
  command->add_option("a", options->reference, "The reference: folder or hub id")->required();
  command->add_option("b", options->other, "The model to judge: folder or hub id")->required();
  command->add_option("--text", options->file, "Text file, split by A's tokenizer")
      ->type_name("FILE");
  command->add_option("--tokens", options->tokens, "Token ids in place of a text: 5,9,2")
      ->type_name("IDS");
  command
      ->add_option("--context", options->context,
                   "Tokens a window; each window starts from an empty state")
      ->check(CLI::Range(2, 1 << 20))
      ->default_val(2048);
  options->run.add_to(*command, "f32");
  command->add_option("--compute-b", options->compute_other, "Numerics of B, where they differ")
      ->check(CLI::IsMember({"f32", "fast"}));
  options->kv_other.add_kv_to(*command, " of B");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([options] { compare(*options); });
}

}  // namespace zaya::cli
