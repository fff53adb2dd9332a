#include <cstdio>
#include <exception>

#include "cli/command.h"
#include "zaya/error.h"

namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs Zyphra's ZAYA1 models on CPUs.", "zaya");
  app.set_version_flag("--version", "zaya " ZAYA_VERSION);
  app.require_subcommand(1);
  zaya::cli::add_bench(app);
  zaya::cli::add_chat(app);
  zaya::cli::add_compare(app);
  zaya::cli::add_convert(app);
  zaya::cli::add_detokenize(app);
  zaya::cli::add_eval(app);
  zaya::cli::add_generate(app);
  zaya::cli::add_init(app);
  zaya::cli::add_kv_policy(app);
  zaya::cli::add_inspect(app);
  zaya::cli::add_logits(app);
  zaya::cli::add_plot(app);
  zaya::cli::add_prepare(app);
  zaya::cli::add_quantize(app);
  zaya::cli::add_serve(app);
  zaya::cli::add_solve(app);
  zaya::cli::add_template(app);
  zaya::cli::add_tokenize(app);
  zaya::cli::add_train(app);

  try {
    // Parsing would only complain that a command is missing.
    if (argc > 1 && argv[1][0] != '-') app.get_subcommand(argv[1]);
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::OptionNotFound&) {
    std::fprintf(stderr, "zaya: there is no command '%s' (zaya --help)\n", argv[1]);
    return kWrongUsage;
  } catch (const CLI::ParseError& e) {
    std::fprintf(stderr, "zaya: %s (zaya --help, zaya COMMAND --help)\n", e.what());
    return kWrongUsage;
  } catch (const zaya::cli::UsageError& e) {
    std::fprintf(stderr, "zaya: %s\n", e.what());
    return kWrongUsage;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "zaya: error: %s\n", e.what());
    return kFailed;
  }
  return 0;
}
