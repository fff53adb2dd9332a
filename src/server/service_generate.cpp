#include <utility>

#include <fmt/format.h>

#include "server/chat_reply.h"
#include "server/messages_call.h"
#include "server/responses_call.h"
#include "server/rsa_call.h"
#include "server/service.h"

namespace zaya {
namespace {

Json strings_json(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  Json out = Json::array();
  for (const TokenId id : ids) out.push_back(std::string(tokenizer.token(id)));
  return out;
}

}  // namespace

ReplyContext Service::context(const std::shared_ptr<Exchange>& exchange, const char* id_prefix,
                              const std::string& model, std::size_t prompt_tokens) const {
  return {.exchange = exchange,
          .text = &engine_.text(),
          .id = new_id(id_prefix),
          .model = model.empty() ? options_.model_names.front() : model,
          .created = unix_time(),
          .prompt_tokens = prompt_tokens};
}

std::vector<TokenId> Service::chat_prompt(const ChatCall& call) const {
  return encode_rendered(engine_.text(), chat_.render(call.chat));
}

std::vector<TokenId> Service::encode(const TextOrIds& prompt, bool special_tokens) const {
  if (const auto* ids = std::get_if<std::vector<TokenId>>(&prompt)) return *ids;
  const auto& text = std::get<std::string>(prompt);
  return special_tokens ? encode_prompt(engine_.text(), text)
                        : encode_rendered(engine_.text(), text);
}

void Service::check_length(const std::vector<TokenId>& prompt) const {
  const std::size_t context = engine_.text().context;
  if (prompt.size() < context) return;
  throw ApiError({.message = fmt::format("the prompt has {} tokens; this model's maximum context "
                                         "length is {} tokens, prompt and output together",
                                         prompt.size(), context),
                  .code = "context_length_exceeded"});
}

void Service::generate(const std::shared_ptr<Exchange>& exchange, const Request& request,
                       std::vector<std::vector<TokenId>> prompts, std::unique_ptr<Reply> reply) {
  for (const auto& prompt : prompts) check_length(prompt);
  const auto job =
      std::make_shared<GenerationJob>(engine_, admission_, metrics_, exchange, std::move(reply));
  job->start(request, std::move(prompts));
}

Request Service::request_of(const ChatCall& call) const {
  Request request;
  request.params = call.params;
  request.n = call.n;
  request.split_reasoning = options_.split_reasoning;
  request.adapter = adapter_of(call.model);
  return request;
}

void Service::rsa_completion(const std::shared_ptr<Exchange>& exchange, const Json& body) {
  RsaCall call = read_rsa_call(body, defaults_, options_.template_kwargs);
  const std::string model = call.chat.model;
  std::string adapter = adapter_of(model);
  RsaJob::start({.engine = engine_,
                 .admission = admission_,
                 .metrics = metrics_,
                 .exchange = exchange,
                 .call = std::move(call),
                 .context = context(exchange, "chatcmpl-", model, 0),
                 .adapter = std::move(adapter),
                 .slots = options_.most_running},
                long_work_);
}

void Service::chat_completions(const std::shared_ptr<Exchange>& exchange) {
  const Json body = parse_body(exchange->request().body);
  if (asks_for_rsa(body)) return rsa_completion(exchange, body);
  const ChatCall call = read_chat_call(body, defaults_, options_.template_kwargs);
  const Request request = request_of(call);
  std::vector<TokenId> prompt = chat_prompt(call);
  auto reply = make_chat_reply(context(exchange, "chatcmpl-", call.model, prompt.size()), call);
  generate(exchange, request, {std::move(prompt)}, std::move(reply));
}

void Service::completions(const std::shared_ptr<Exchange>& exchange) {
  const CompletionCall call = read_completion_call(parse_body(exchange->request().body), defaults_);
  Request request;
  request.params = call.params;
  request.n = call.n;
  request.adapter = adapter_of(call.model);
  std::vector<std::vector<TokenId>> prompts;
  std::vector<std::string> texts;
  std::size_t tokens = 0;
  for (const TextOrIds& prompt : call.prompts) {
    prompts.push_back(encode(prompt, /*special_tokens=*/true));
    tokens += prompts.back().size();
    texts.emplace_back();
    if (!call.echo) continue;
    const auto* text = std::get_if<std::string>(&prompt);
    texts.back() = text != nullptr ? *text : tokenizer_of(engine_.text()).decode(prompts.back());
  }
  auto reply =
      make_completion_reply(context(exchange, "cmpl-", call.model, tokens), call, std::move(texts));
  generate(exchange, request, std::move(prompts), std::move(reply));
}

void Service::responses(const std::shared_ptr<Exchange>& exchange) {
  const ResponsesCall call = read_responses_call(parse_body(exchange->request().body), defaults_,
                                                 options_.template_kwargs);
  const Request request = request_of(call.chat);
  std::vector<TokenId> prompt = chat_prompt(call.chat);
  auto reply =
      make_responses_reply(context(exchange, "resp_", call.chat.model, prompt.size()), call);
  generate(exchange, request, {std::move(prompt)}, std::move(reply));
}

void Service::messages(const std::shared_ptr<Exchange>& exchange) {
  const ChatCall call =
      read_messages_call(parse_body(exchange->request().body), defaults_, options_.template_kwargs);
  const Request request = request_of(call);
  std::vector<TokenId> prompt = chat_prompt(call);
  auto reply = make_messages_reply(context(exchange, "msg_", call.model, prompt.size()), call);
  generate(exchange, request, {std::move(prompt)}, std::move(reply));
}

void Service::count_tokens(const std::shared_ptr<Exchange>& exchange) {
  const ChatCall call = read_messages_call(parse_body(exchange->request().body), {},
                                           options_.template_kwargs, /*counts_only=*/true);
  adapter_of(call.model);
  exchange->respond({.body = to_wire({{"input_tokens", chat_prompt(call).size()}})});
}

// ---- Text and tokens ----

void Service::tokenize(const std::shared_ptr<Exchange>& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields f(body);
  const Tokenizer& tokenizer = tokenizer_of(engine_.text());
  adapter_of(f.string("model").value_or(""));
  std::vector<TokenId> ids;
  if (f.has("messages")) {
    ids = chat_prompt(read_chat_call(body, {}, options_.template_kwargs));
  } else {
    // vLLM's name, else llama.cpp's; there special tokens are off unless asked for.
    const bool vllm = f.has("prompt") || !f.has("content");
    const char* key = vllm ? "prompt" : "content";
    f.at(key);
    const bool special =
        vllm ? f.boolean("add_special_tokens", true) : f.boolean("add_special", false);
    ids = encode(*f.string(key), special);
  }
  Json json = {{"count", ids.size()}, {"max_model_len", engine_.text().context}, {"tokens", ids}};
  if (f.boolean("return_token_strs", false)) json["token_strs"] = strings_json(tokenizer, ids);
  exchange->respond({.body = to_wire(json)});
}

void Service::detokenize(const std::shared_ptr<Exchange>& exchange) {
  const Json body = parse_body(exchange->request().body);
  const Fields f(body);
  const Tokenizer& tokenizer = tokenizer_of(engine_.text());
  adapter_of(f.string("model").value_or(""));
  const std::string text = tokenizer.decode(read_token_ids(f.at("tokens"), "tokens"));
  // vLLM's name, and llama.cpp's.
  exchange->respond({.body = to_wire({{"prompt", text}, {"content", text}})});
}

void Service::apply_template(const std::shared_ptr<Exchange>& exchange) {
  const ChatCall call =
      read_chat_call(parse_body(exchange->request().body), {}, options_.template_kwargs);
  adapter_of(call.model);
  exchange->respond({.body = to_wire({{"prompt", chat_.render(call.chat)}})});
}

}  // namespace zaya
