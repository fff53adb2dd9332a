#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "server/api_error.h"
#include "server/api_keys.h"
#include "server/chat_call.h"
#include "server/completion_call.h"
#include "server/generation_job.h"
#include "server/http.h"
#include "server/metrics.h"
#include "server/rsa_job.h"
#include "text/chat.h"
#include "zaya/engine.h"

namespace zaya {

struct ServiceOptions {
  std::vector<std::string> model_names;    ///< what callers may name; the first is the proper one
  std::vector<std::string> api_keys = {};  ///< none: everybody may
  std::vector<std::string> cors_origins = {};  ///< web pages of others that may call; "*": all
  std::size_t most_running = 64;
  std::size_t most_waiting = 256;
  bool split_reasoning = true;            ///< else think blocks are part of the content
  Json template_kwargs = Json::object();  ///< variables of the chat template, unless a call says so
  std::optional<std::size_t> draft_tokens =
      {};                           ///< SamplingParams::draft_tokens, unless it says so
  std::string adapter_folder = {};  ///< adapters in it may be loaded by callers; empty: none
  /// Sees every request with its body, on a worker; for a log that was asked for.
  std::function<void(const HttpRequest&)> request_log = {};
};

/// One answered request, for an access log. Nothing of what was asked or answered.
struct AccessRecord {
  std::string_view remote;
  std::string_view method;
  std::string_view path;
  int status;
  std::size_t bytes;
  double seconds;
};

/// The API over an engine.
class Service final : public HttpHandler {
 public:
  using AccessLog = std::function<void(const AccessRecord&)>;

  /// All that is given must outlive it. `server`: where it is served, for health and metrics.
  Service(Engine& engine, const ChatTemplate& chat, const HttpServer& server,
          ServiceOptions options, AccessLog log);

  bool refuse(const HttpRequest& head, HttpResponse& answer) override;
  void handle(std::shared_ptr<Exchange> exchange) override;
  HttpResponse problem(int status, std::string_view message) override;
  HttpHeaders extra_headers(const HttpRequest& request) override;
  void answered(const HttpRequest& request, int status, std::size_t bytes, double seconds) override;

 private:
  using Handler = void (Service::*)(const std::shared_ptr<Exchange>&);
  struct Route {
    std::string_view method;
    std::string_view path;  ///< ends in / : everything below it
    Handler handler;
    bool open = false;  ///< needs no key
  };
  static const std::vector<Route>& routes();
  static const Route* find(std::string_view path, std::string_view method);
  static std::string allowed(std::string_view path);

  void check_access(const HttpRequest& head) const;
  bool preflight(const HttpRequest& head, HttpResponse& answer) const;
  std::string_view allowed_origin(const HttpRequest& request) const;
  bool is_adapter(const std::string& name) const;
  /// The adapter that a call's "model" names, empty for the model itself. Throws ApiError (404).
  std::string adapter_of(const std::string& model) const;
  ReplyContext context(const std::shared_ptr<Exchange>& exchange, const char* id_prefix,
                       const std::string& model, std::size_t prompt_tokens) const;
  std::vector<TokenId> chat_prompt(const ChatCall& call) const;
  std::vector<TokenId> encode(const TextOrIds& prompt, bool special_tokens) const;
  void check_length(const std::vector<TokenId>& prompt) const;
  /// `request` has everything but the prompt.
  void generate(const std::shared_ptr<Exchange>& exchange, const Request& request,
                std::vector<std::vector<TokenId>> prompts, std::unique_ptr<Reply> reply);
  Request request_of(const ChatCall& call) const;
  void rsa_completion(const std::shared_ptr<Exchange>& exchange, const Json& body);
  Json model_json(const std::string& name) const;

  // The routes.
  void health(const std::shared_ptr<Exchange>& exchange);
  void page(const std::shared_ptr<Exchange>& exchange);
  void metrics(const std::shared_ptr<Exchange>& exchange);
  void models(const std::shared_ptr<Exchange>& exchange);
  void model(const std::shared_ptr<Exchange>& exchange);
  void chat_completions(const std::shared_ptr<Exchange>& exchange);
  void completions(const std::shared_ptr<Exchange>& exchange);
  void responses(const std::shared_ptr<Exchange>& exchange);
  void messages(const std::shared_ptr<Exchange>& exchange);
  void count_tokens(const std::shared_ptr<Exchange>& exchange);
  void tokenize(const std::shared_ptr<Exchange>& exchange);
  void detokenize(const std::shared_ptr<Exchange>& exchange);
  void apply_template(const std::shared_ptr<Exchange>& exchange);
  void load_adapter(const std::shared_ptr<Exchange>& exchange);
  void unload_adapter(const std::shared_ptr<Exchange>& exchange);

  Engine& engine_;
  const ChatTemplate& chat_;
  const HttpServer& server_;
  ServiceOptions options_;
  SamplingParams defaults_;
  AccessLog log_;
  ApiKeys keys_;
  Admission admission_;
  Metrics metrics_;
  std::int64_t created_;
  LongWork long_work_;  // last: it uses all of the above
};

}  // namespace zaya
