#include "cli/rsa_generator.h"

#include <algorithm>

#include "checkpoint/hub.h"
#include "rsa/remote_generator.h"

namespace zaya::cli {

void RsaGenerator::add_to(CLI::App& command) {
  CLI::Option_group& remote = *command.add_option_group(
      "Elsewhere",
      "Let an OpenAI-compatible server generate; MODEL is then read for its tokenizer");
  remote
      .add_option("--endpoint", endpoints_,
                  "http://HOST:PORT/v1[,model=NAME][,weight=W][,slots=N][,key=VARIABLE]: may be "
                  "repeated; calls are shared by weight, and VARIABLE has the API key")
      ->type_name("URL")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  remote.add_option("--retries", retries_, "Of a call that fails for a reason that may pass")
      ->check(CLI::Range(0, 100))
      ->default_val(4);
  command.add_option("--slots", slots_, "Candidates at once (default: 64)")
      ->check(CLI::Range(1, 1024));
  command.add_option("--kv-memory", kv_memory_, "Memory for keys and values (8GB)")
      ->transform(CLI::AsSizeValue(true).description(""))
      ->type_name("SIZE");
  run_.add_to(command, "fast");
  run_.add_head_to(command);
  run_.add_kv_to(command);
  run_.add_adapter_to(command);
}

void RsaGenerator::open(const std::string& model, bool thinking) {
  if (!endpoints_.empty()) {
    rsa::RemoteOptions options{.endpoints = {},
                               .tokenizer = resolve_model_folder(model),
                               .retries = retries_,
                               .thinking = thinking};
    for (const std::string& text : endpoints_) {
      options.endpoints.push_back(rsa::parse_endpoint(text));
    }
    generator_ = std::make_unique<rsa::RemoteGenerator>(std::move(options));
    return;
  }
  EngineOptions options{
      .runner = run_.runner_options(),
      // What ended is of use for the beginning of its prompt alone.
      .scheduler = {.max_running = slots_ > 0 ? slots_ : 64, .cached_sequences = 1}};
  if (kv_memory_ > 0) options.runner.kv_memory = kv_memory_;
  engine_ = std::make_unique<Engine>(model, options);
  rsa::EngineGeneratorOptions generator{.slots = options.scheduler.max_running,
                                        .thinking = thinking};
  if (!run_.adapter.empty()) {
    engine_->load_adapter("adapter", run_.adapter);
    generator.adapter = "adapter";
  }
  auto local = std::make_unique<rsa::EngineGenerator>(*engine_, std::move(generator));
  local_ = local.get();
  generator_ = std::move(local);
}

std::optional<rsa::Forecast> RsaGenerator::forecast(const rsa::Settings& settings,
                                                    const rsa::AggregationPrompt& prompt,
                                                    const std::vector<ChatMessage>& messages,
                                                    bool thinking, std::size_t problems) const {
  if (!engine_) return std::nullopt;
  const std::string& problem = messages.back().content;
  const std::vector<std::string> empty(settings.subset);
  const std::size_t bare = generator_->count_tokens(problem);
  const std::size_t framed = generator_->count_tokens(prompt.render(problem, empty, true));
  return rsa::forecast(settings, {.prompt_tokens = engine_->encode_chat(messages, thinking).size(),
                                  .template_tokens = framed - std::min(bare, framed),
                                  .slots = generator_->slots(),
                                  .problems = problems,
                                  .context = engine_->context(),
                                  .kv_memory = engine_->kv_memory(),
                                  .kv_bytes = [&](std::size_t n) { return engine_->kv_bytes(n); }});
}

}  // namespace zaya::cli
