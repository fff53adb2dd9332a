#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/json.h"
#include "base/process.h"
#include "checkpoint/hub.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "cli/sampling_options.h"
#include "cli/terminal.h"
#include "cli/text_input.h"
#include "engine/generation.h"
#include "text/chat.h"
#include "text/output_parser.h"
#include "zaya/error.h"

namespace zaya::cli {
namespace {

struct Options {
  std::string model;
  std::string positional;
  std::string prompt;
  std::string file;
  std::string tokens;
  std::string system;
  std::string json_schema;
  bool json_object = false;
  std::string tools;
  std::string session;
  std::string save_session;
  bool chat = false;
  bool no_think = false;
  bool json = false;
  bool stats = false;
  ModelOptions run;
  SamplingOptions sampling;
  // Which of the sources was given; an empty text is a prompt too.
  std::vector<CLI::Option*> sources;

  std::string text() const;
  OutputFormat format() const;
};

// The prompt's text, wherever it comes from.
std::string Options::text() const {
  if (sources[0]->count() > 0 && positional != "-") return positional;
  if (sources[1]->count() > 0) return prompt;
  if (sources[2]->count() > 0 && file != "-") return TextInput(file).read_all();
  return TextInput("").read_all();
}

OutputFormat Options::format() const {
  if (json_object) return {.kind = OutputFormat::Kind::json_object};
  if (json_schema.empty()) return {};
  return {.kind = OutputFormat::Kind::json_schema, .schema = TextInput(json_schema).read_all()};
}

void check(const Options& options) {
  std::size_t given = 0;
  for (const CLI::Option* source : options.sources) given += source->count() > 0 ? 1 : 0;
  if (given > 1) {
    throw UsageError("generate takes one prompt: as an argument, --prompt, --file or --tokens");
  }
  if (given == 0 && stdin_is_terminal()) {
    throw UsageError("generate needs a prompt: as an argument, --file, --tokens or on stdin");
  }
  if (options.chat && !options.tokens.empty()) {
    throw UsageError("--chat applies a template to text; it cannot be used with --tokens");
  }
  if (options.chat && !options.session.empty()) {
    throw UsageError("--session goes on from tokens; --chat writes a conversation anew");
  }
  if (!options.run.adapter.empty() && !(options.session.empty() && options.save_session.empty())) {
    throw UsageError("a session holds state of the model alone; it cannot be used with --adapter");
  }
  if (!options.chat && (!options.system.empty() || !options.tools.empty() || options.no_think)) {
    throw UsageError("--system, --tools and --no-think are for --chat");
  }
  if (options.sampling.wants_logprobs() && !options.json) {
    throw UsageError("--logprobs needs --json");
  }
  options.sampling.check();
}

std::string rendered(const Options& options, const Json& tools,
                     const std::filesystem::path& folder) {
  const ChatTemplate chat = ChatTemplate::load(folder);
  for (const std::string& note : chat.notes()) fmt::print(stderr, "zaya: note: {}\n", note);
  ChatRequest request{.tools = tools};
  if (!options.system.empty()) {
    request.messages.push_back({{"role", "system"}, {"content", options.system}});
  }
  request.messages.push_back({{"role", "user"}, {"content", options.text()}});
  if (options.no_think) request.kwargs["enable_thinking"] = false;
  return chat.render(request);
}

std::vector<TokenId> prompt_of(const Options& options, const Json& tools,
                               const std::filesystem::path& folder, const ModelText& text) {
  if (!options.tokens.empty()) return parse_token_list(options.tokens);
  if (options.chat) return encode_rendered(text, rendered(options, tools, folder));
  if (!options.session.empty()) return encode_rendered(text, options.text());  // no BOS
  return encode_prompt(text, options.text());
}

// The answer as it is printed at the end, with the calls in OpenAI's form.
struct Answer {
  std::string content;
  std::string reasoning;
  Json calls = Json::array();

  void add(const std::vector<OutputEvent>& events) {
    for (const OutputEvent& event : events) {
      switch (event.kind) {
        case OutputEvent::Kind::reasoning:
          reasoning += event.text;
          break;
        case OutputEvent::Kind::content:
          content += event.text;
          break;
        case OutputEvent::Kind::call_begin:
          calls.push_back({{"id", event.id},
                           {"type", "function"},
                           {"function", {{"name", event.text}, {"arguments", ""}}}});
          break;
        case OutputEvent::Kind::arguments:
          calls.back()["function"]["arguments"].get_ref<std::string&>() += event.text;
          break;
        case OutputEvent::Kind::call_end:
          break;
      }
    }
  }
};

Json logprobs_json(const Logprobs& logprobs, const ModelText& text) {
  const auto entry = [&](const TokenLogprob& t) {
    Json json = {{"token_id", t.id}, {"logprob", t.logprob}};
    if (text.tokenizer) json["token"] = text.tokenizer->decode({&t.id, 1});
    return json;
  };
  Json json = entry(logprobs.token);
  json["top"] = Json::array();
  for (const TokenLogprob& t : logprobs.top) json["top"].push_back(entry(t));
  return json;
}

double per_second(std::size_t count, double seconds) {
  return seconds > 0.0 ? static_cast<double>(count) / seconds : 0.0;
}

// What is asked for as JSON, besides the text.
Json result_json(const Generation& generation, const GenerationStats& stats) {
  Json json;
  json["token_ids"] = generation.tokens();
  json["text"] = "";  // the order of the keys
  json["finish_reason"] = finish_reason_name(*generation.finish_reason());
  if (generation.stop_string() != nullptr) json["stop_string"] = *generation.stop_string();
  json["usage"] = {{"prompt_tokens", stats.prompt_tokens},
                   {"completion_tokens", stats.output_tokens},
                   {"reasoning_tokens", generation.reasoning_tokens()}};
  if (stats.drafted_tokens > 0) {
    json["usage"]["drafted_tokens"] = stats.drafted_tokens;
    json["usage"]["accepted_tokens"] = stats.accepted_tokens;
  }
  // The first token comes out of the prompt's own pass.
  const std::size_t steps = stats.output_tokens > 0 ? stats.output_tokens - 1 : 0;
  json["timings"] = {
      {"prefill_seconds", stats.prefill_seconds},
      {"decode_seconds", stats.decode_seconds},
      {"prefill_tokens_per_second", per_second(stats.prompt_tokens, stats.prefill_seconds)},
      {"decode_tokens_per_second", per_second(steps, stats.decode_seconds)}};
  json["peak_memory_bytes"] = peak_memory_bytes();
  return json;
}

// The state after all tokens that were generated; after what was read of the prompt, if it was
// stopped there.
void save(const Options& options, Runner& runner, Sequence& sequence,
          const std::vector<TokenId>& prompt, const Generation& generation) {
  if (sequence.length() >= prompt.size()) {
    runner.feed(sequence,
                std::span(generation.tokens()).subspan(sequence.length() - prompt.size()));
  }
  runner.save_session(sequence, options.save_session);
}

void generate_command(const Options& options) {
  check(options);
  const std::filesystem::path folder = resolve_model_folder(options.model);
  // All that can be wrong with the prompt is found before the weights are loaded.
  const ModelConfig config = read_config(folder).model;
  const auto text = std::make_shared<const ModelText>(
      load_model_text(folder, config, options.sampling.use_generation_config()));
  for (const std::string& note : text->generation.notes) {
    fmt::print(stderr, "zaya: note: {}\n", note);
  }
  const bool with_tools = !options.tools.empty();
  const Json tools = with_tools ? read_json_file(options.tools) : Json();
  OutputParser parser({.tools = std::make_shared<const ToolSet>(tools)});
  std::vector<TokenId> prompt = prompt_of(options, tools, folder, *text);
  if (options.session.empty()) check_prompt(config, prompt);
  SamplingParams params = options.sampling.over(text->generation.params);
  params.format = options.format();

  validate(params, text->vocab);
  const auto runner = options.run.load(options.model);
  Sequence sequence = runner->new_sequence(options.run.load_adapter(*runner));
  if (!options.session.empty()) {
    sequence = runner->load_session(options.session);
    prompt.insert(prompt.begin(), sequence.tokens().begin(), sequence.tokens().end());
    check_prompt(config, prompt);
  }
  const std::size_t restored = keep_common_prefix(*runner, sequence, prompt);
  Generation generation(text, params, prompt, {.split_reasoning = options.chat && options.json});
  Answer answer;
  Json logprobs = Json::array();
  const auto show = [&](const TextPiece& piece) {
    if (with_tools) {
      answer.add(parser.push(piece.reasoning, piece.answer));
    } else {
      answer.content += piece.answer;
      answer.reasoning += piece.reasoning;
    }
    if (options.json || piece.answer.empty()) return;
    print(stdout_is_terminal() ? without_control_codes(piece.answer) : piece.answer);
  };

  const Interrupt interrupt(Interrupt::Again::ends_program);
  PromptProgress progress;
  const GenerationStats stats = generate(
      generation, feed_of(*runner, sequence, generation), std::span(prompt).subspan(restored),
      progress.callback(), [&](const TokenEvent& event) {
        if (event.logprobs) {
          logprobs.push_back(logprobs_json(*event.logprobs, *text));
        }
        show(event.text);
        return !Interrupt::requested();
      });
  show(stats.rest);
  answer.add(parser.finish(generation.finish_reason() != FinishReason::stop));

  Json json = result_json(generation, stats);
  if (!options.session.empty()) json["usage"]["session_tokens"] = restored;
  if (options.json) {
    json["text"] = answer.content;
    if (options.chat) json["reasoning"] = answer.reasoning;
    if (with_tools) json["tool_calls"] = answer.calls;
    json["seed"] = params.seed;
    if (options.sampling.wants_logprobs()) json["logprobs"] = logprobs;
    print(json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  } else if (!text->tokenizer) {
    print(fmt::format("{}\n", fmt::join(generation.tokens(), ",")));
  } else if (stdout_is_terminal()) {
    print("\n");
  }
  if (options.stats) {
    json.erase("token_ids");
    json.erase("text");
    fmt::print(stderr, "zaya: {}\n", json.dump());
  }
  if (!options.save_session.empty()) save(options, *runner, sequence, prompt, generation);
}

}  // namespace

void add_generate(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "generate",
      "Complete a prompt: raw text by default, as a user's turn of a conversation with --chat");
  command->add_option("model", options->model, "Model folder, or hub id in the local cache")
      ->required();
  options->sources = {
      command->add_option("text", options->positional,
                          "The prompt; - or nothing reads it from stdin"),
      command->add_option("-p,--prompt", options->prompt, "The prompt, as an option"),
      command->add_option("--file", options->file, "Read the prompt from a file; - is stdin")
          ->type_name("FILE"),
      command
          ->add_option("--tokens", options->tokens,
                       "The prompt as token ids, taken as they are: 5,9,2")
          ->type_name("IDS")};
  command->add_flag("--chat", options->chat,
                    "Apply the model's chat template to the prompt as a user's turn");
  command->add_option("--system", options->system, "System message, with --chat");
  command
      ->add_option("--tools", options->tools,
                   "JSON file with the list of functions that the model may call, with --chat; "
                   "--json then has its calls as tool_calls")
      ->type_name("FILE");
  command->add_flag("--no-think", options->no_think,
                    "Set enable_thinking to false for the template, with --chat");
  CLI::Option* schema =
      command
          ->add_option("--json-schema", options->json_schema,
                       "Hold the output to JSON that satisfies the JSON Schema in a file")
          ->type_name("FILE");
  command->add_flag("--json-object", options->json_object, "Hold the output to a JSON object")
      ->excludes(schema);
  command->add_flag("--json", options->json,
                    "Print one JSON object: token_ids, text, finish_reason, usage, timings, "
                    "peak_memory_bytes, seed");
  command->add_flag("--stats", options->stats, "Tell counts and speed on stderr at the end");
  command
      ->add_option("--session", options->session,
                   "Go on from a saved state: its tokens stand before the prompt, computed already")
      ->type_name("FILE");
  command
      ->add_option("--save-session", options->save_session,
                   "Write the state after the last token to a file; only the same checkpoint with "
                   "the same --compute can go on from it")
      ->type_name("FILE");
  options->run.add_to(*command, "fast");
  options->run.add_head_to(*command);
  options->run.add_kv_to(*command);
  options->run.add_adapter_to(*command);
  options->sampling.add_to(*command);
  command->callback([options] { generate_command(*options); });
}

}  // namespace zaya::cli
