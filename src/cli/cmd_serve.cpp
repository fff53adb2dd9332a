#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "checkpoint/hub.h"
#include "cli/command.h"
#include "cli/long_job.h"
#include "cli/model_options.h"
#include "engine/model_text.h"
#include "server/api_keys.h"
#include "server/http.h"
#include "server/service.h"
#include "text/chat.h"
#include "zaya/engine.h"

namespace zaya::cli {
namespace {

struct Options {
  std::string model;
  HttpServerOptions http = {.port = 8000};
  ServiceOptions service = {.model_names = {}};
  SchedulerOptions scheduler;
  std::vector<std::string> key_files;
  std::vector<std::string> adapters;
  std::optional<std::size_t> draft_tokens;
  std::string chat_template;
  std::string template_kwargs;
  std::string reasoning_parser;
  std::string dtype;
  std::size_t context = 0;
  std::uint64_t kv_memory = 0;
  bool prefix_caching = true;
  bool generation_config = true;
  bool access_log = true;
  bool log_prompts = false;
  ModelOptions run;
  std::string ignored;  // values that are checked when they are read, and mean what is done anyway
  bool ignored_flag = false;
};

void check(const Options& options) {
  if (options.http.certificate_file.empty() != options.http.key_file.empty()) {
    throw UsageError("TLS takes both --tls-cert and --tls-key");
  }
  for (const std::string& adapter : options.adapters) {
    const auto equals = adapter.find('=');
    if (equals == 0 || equals == std::string::npos) {
      throw UsageError("--adapter takes NAME=FOLDER, not " + adapter);
    }
  }
  if (options.dtype == "bfloat16" && options.run.compute == "f32") {
    throw UsageError("--dtype bfloat16 and --compute f32 exclude each other");
  }
}

RunnerOptions runner_options(const Options& options) {
  RunnerOptions run = options.run.runner_options();
  if (options.dtype == "float32") run.compute = Compute::f32;
  if (options.kv_memory > 0) run.kv_memory = options.kv_memory;
  return run;
}

EngineOptions engine_options(const Options& options) {
  EngineOptions engine{.runner = runner_options(options),
                       .scheduler = options.scheduler,
                       .generation_config = options.generation_config};
  if (!options.prefix_caching) engine.scheduler.cached_sequences = 0;
  if (options.context > 0) engine.context = options.context;
  return engine;
}

// What comes from outside may hold control characters, which could forge lines.
std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return out;
}

void log_request(const AccessRecord& r) {
  const std::string path = printable(r.path.substr(0, 200));
  spdlog::info("{} {} {} {} {} bytes {:.3f} s", r.remote, r.method.empty() ? "-" : r.method,
               path.empty() ? "-" : path, r.status, r.bytes, r.seconds);
}

void log_body(const HttpRequest& request) {
  if (request.body.empty()) return;
  spdlog::info("{} {} {}", request.remote, printable(request.path), printable(request.body));
}

ServiceOptions service_options(const Options& options) {
  ServiceOptions service = options.service;
  if (service.model_names.empty()) service.model_names = {options.model};
  for (const std::string& file : options.key_files) {
    for (std::string& key : read_key_file(file)) service.api_keys.push_back(std::move(key));
  }
  service.most_running = options.scheduler.max_running;
  service.draft_tokens = options.draft_tokens;
  if (options.log_prompts) service.request_log = log_body;
  service.split_reasoning = options.reasoning_parser == "qwen3";
  if (!options.template_kwargs.empty()) {
    service.template_kwargs =
        JsonView(parse_json(options.template_kwargs, "--default-chat-template-kwargs"),
                 "--default-chat-template-kwargs")
            .json();
  }
  return service;
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

void load_adapters(Engine& engine, const Options& options) {
  for (const std::string& adapter : options.adapters) {
    const auto equals = adapter.find('=');
    engine.load_adapter(adapter.substr(0, equals), adapter.substr(equals + 1));
  }
}

void serve_command(const Options& options) {
  check(options);
  spdlog::set_default_logger(spdlog::stderr_color_mt("zaya"));
  spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");

  // In this order: what is wrong with port, keys or text is found before the weights are touched.
  const ServiceOptions service_settings = service_options(options);
  HttpServer server(options.http);
  const ChatTemplate chat =
      ChatTemplate::load(resolve_model_folder(options.model), options.chat_template);
  for (const std::string& note : chat.notes()) spdlog::info("note: {}", note);
  Engine engine(options.model, engine_options(options));
  for (const std::string& note : engine.text().generation.notes) spdlog::info("note: {}", note);
  load_adapters(engine, options);
  Service service(engine, chat, server, service_settings,
                  options.access_log ? log_request : Service::AccessLog());

  spdlog::info("{}: {} for KV pages, context of {} tokens, {} outputs at once",
               service_settings.model_names.front(),
               bytes_text(static_cast<double>(engine.kv_memory())), engine.context(),
               options.scheduler.max_running);
  if (!is_loopback(options.http.host) && service_settings.api_keys.empty()) {
    spdlog::warn("{} can be reached from other machines, and there is no --api-key",
                 options.http.host);
  }
  const std::string host = options.http.host.find(':') == std::string::npos
                               ? options.http.host
                               : "[" + options.http.host + "]";
  spdlog::info("serving at {}://{}:{}", options.http.certificate_file.empty() ? "http" : "https",
               host, server.port());
  server.run(service);
  spdlog::info("ended");
}

void add_network(CLI::App& command, Options& o) {
  CLI::Option_group& group = *command.add_option_group("Network", "");
  group.add_option("--host", o.http.host, "Address to listen at")->capture_default_str();
  group.add_option("--port", o.http.port, "Port; 0 takes a free one")->capture_default_str();
  group
      .add_option("--api-key", o.service.api_keys,
                  "Key that callers must send (Authorization: Bearer KEY). May be repeated")
      ->type_name("KEY")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  group.add_option("--api-key-file", o.key_files, "File of such keys, one a line. May be repeated")
      ->type_name("FILE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  group
      .add_option("--cors-origin", o.service.cors_origins,
                  "Origin of web pages that may call, as https://example.org; * is any. May be "
                  "repeated")
      ->type_name("ORIGIN")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  group
      .add_option("--tls-cert,--ssl-certfile", o.http.certificate_file,
                  "TLS: certificate chain, PEM")
      ->type_name("FILE");
  group.add_option("--tls-key,--ssl-keyfile", o.http.key_file, "TLS: its private key, PEM")
      ->type_name("FILE");
  group
      .add_option("--header-timeout", o.http.header_timeout,
                  "Seconds in which a request's head must arrive")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  group
      .add_option("--drain-timeout", o.http.drain_timeout,
                  "Seconds that answers under way get to come to their end after SIGTERM")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  group.add_flag("!--no-access-log", o.access_log, "Do not log requests");
  group.add_flag("--log-prompts", o.log_prompts,
                 "Log the bodies of requests, too, with all that callers say");
}

void add_capacity(CLI::App& command, Options& o) {
  CLI::Option_group& group = *command.add_option_group("Capacity", "");
  group
      .add_option("--max-model-len", o.context,
                  "Most tokens of prompt and output together (default: the model's context)")
      ->check(CLI::Range(2, 1 << 30));
  group.add_option("--max-num-seqs", o.scheduler.max_running, "Outputs computed at once")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  group
      .add_option("--max-queue", o.service.most_waiting,
                  "Outputs that may wait for that; what comes then gets status 429")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  group
      .add_option("--kv-memory", o.kv_memory,
                  "Memory for KV pages, as 8GB (default: half of what is free)")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("SIZE");
  group.add_flag("--enable-prefix-caching,!--no-enable-prefix-caching", o.prefix_caching,
                 "Keep finished sequences for prompts that begin like them (on by default)");
}

void add_adapters(CLI::App& command, Options& o) {
  CLI::Option_group& group = *command.add_option_group("Adapters", "");
  group
      .add_option(
          "--adapter", o.adapters,
          "LoRA adapter (docs/adapters.md) that requests may name as their model; a folder, "
          "or a hub id in the local cache. May be repeated")
      ->type_name("NAME=FOLDER")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  group
      .add_option("--adapter-folder", o.service.adapter_folder,
                  "Callers may load and unload adapters that are in this folder "
                  "(/v1/load_lora_adapter)")
      ->type_name("FOLDER")
      ->check(CLI::ExistingDirectory);
}

// vLLM's command line for this model, as far as its values mean what is done here.
void add_vllm(CLI::App& command, Options& o) {
  CLI::Option_group& group = *command.add_option_group("As for vLLM", "");
  group.add_option("--dtype", o.dtype, "bfloat16: as --compute fast; float32: as --compute f32")
      ->check(CLI::IsMember({"auto", "bfloat16", "float32"}));
  group.add_option("--mamba-cache-dtype", o.ignored, "The CCA state is always float32")
      ->check(CLI::IsMember({"auto", "float32"}));
  group
      .add_option("--reasoning-parser", o.reasoning_parser,
                  "qwen3: think blocks are returned apart, as reasoning; none: as content")
      ->check(CLI::IsMember({"qwen3", "none"}))
      ->default_val("qwen3");
  group.add_option("--tool-call-parser", o.ignored, "zaya_xml: the model's own form of calls")
      ->check(CLI::IsMember({"zaya_xml"}));
  group.add_flag("--enable-auto-tool-choice", o.ignored_flag,
                 "Let the model decide to call the tools of a request: always so");
}

}  // namespace

void add_serve(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("serve", "Serve a model over HTTP, as OpenAI's API does (docs/server.md)");
  command->add_option("model", o->model, "Model folder, or hub id in the local cache")->required();
  command
      ->add_option("--served-model-name", o->service.model_names,
                   "Names that callers may use (default: the model argument)")
      ->type_name("NAME ...");
  command
      ->add_option("--chat-template", o->chat_template, "A Jinja template instead of the model's")
      ->type_name("FILE")
      ->check(CLI::ExistingFile);
  command
      ->add_option("--default-chat-template-kwargs", o->template_kwargs,
                   R"(Variables of the template unless a call says otherwise: {"enable_thinking":)"
                   R"( false})")
      ->type_name("JSON");
  command->add_flag("!--no-generation-config", o->generation_config,
                    "Do not read generation_config.json");
  o->run.add_to(*command, "fast");
  o->run.add_head_to(*command);
  o->run.add_kv_to(*command);
  command
      ->add_option("--draft-tokens", o->draft_tokens,
                   "Speculate unless a call says otherwise: draft up to N tokens where a text "
                   "repeats itself. 0 turns it off (default)")
      ->check(CLI::Range(0, 16));
  add_network(*command, *o);
  add_capacity(*command, *o);
  add_adapters(*command, *o);
  add_vllm(*command, *o);
  command->callback([o] { serve_command(*o); });
}

}  // namespace zaya::cli
