#include "server/service.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "server/web.h"

namespace zaya {
namespace {

Dialect dialect_of(std::string_view path) {
  return path.starts_with("/v1/messages") ? Dialect::anthropic : Dialect::openai;
}

std::string_view key_of(const HttpRequest& request) {
  constexpr std::string_view kBearer = "bearer ";
  std::string_view value = request.header("Authorization");
  const bool bearer = value.size() > kBearer.size() &&
                      std::equal(kBearer.begin(), kBearer.end(), value.begin(), [](char a, char b) {
                        return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b);
                      });
  return bearer ? value.substr(kBearer.size()) : request.header("x-api-key");
}

}  // namespace

Service::Service(Engine& engine, const ChatTemplate& chat, const HttpServer& server,
                 ServiceOptions options, AccessLog log)
    : engine_(engine),
      chat_(chat),
      server_(server),
      options_(std::move(options)),
      log_(std::move(log)),
      keys_(options_.api_keys),
      admission_(options_.most_running, options_.most_waiting),
      created_(unix_time()) {
  defaults_ = engine_.default_params();
  if (options_.draft_tokens) defaults_.draft_tokens = *options_.draft_tokens;
  validate(defaults_, engine_.text().vocab);
}

const std::vector<Service::Route>& Service::routes() {
  static const std::vector<Route> kRoutes = {
      {"GET", "/health", &Service::health, /*open=*/true},
      {"GET", "/metrics", &Service::metrics},
      {"GET", "/", &Service::page, /*open=*/true},
      {"GET", "/assets/", &Service::page, /*open=*/true},
      {"GET", "/licenses.txt", &Service::page, /*open=*/true},
      {"GET", "/v1/models", &Service::models},
      {"GET", "/v1/models/", &Service::model},
      {"POST", "/v1/chat/completions", &Service::chat_completions},
      {"POST", "/v1/completions", &Service::completions},
      {"POST", "/v1/responses", &Service::responses},
      {"POST", "/v1/messages", &Service::messages},
      {"POST", "/v1/messages/count_tokens", &Service::count_tokens},
      {"POST", "/tokenize", &Service::tokenize},
      {"POST", "/detokenize", &Service::detokenize},
      {"POST", "/apply-template", &Service::apply_template},
      {"POST", "/v1/load_lora_adapter", &Service::load_adapter},
      {"POST", "/v1/unload_lora_adapter", &Service::unload_adapter},
  };
  return kRoutes;
}

/// The route of a path; with any method when `method` is empty.
const Service::Route* Service::find(std::string_view path, std::string_view method) {
  if (method == "HEAD") method = "GET";
  for (const Route& route : routes()) {
    const bool below = route.path.size() > 1 && route.path.back() == '/';
    const bool there = below ? path.starts_with(route.path) && path.size() > route.path.size()
                             : path == route.path;
    if (there && (method.empty() || method == route.method)) return &route;
  }
  return nullptr;
}

std::string Service::allowed(std::string_view path) {
  std::string methods;
  for (const char* method : {"GET", "POST"}) {
    if (find(path, method) == nullptr) continue;
    if (!methods.empty()) methods += ", ";
    methods += method;
    if (std::string_view(method) == "GET") methods += ", HEAD";
  }
  return methods;
}

void Service::check_access(const HttpRequest& head) const {
  const Route* route = find(head.path, {});
  if (keys_.required() && (route == nullptr || !route->open) && !keys_.accepts(key_of(head))) {
    throw ApiError({.status = 401,
                    .message = "this server wants an API key: Authorization: Bearer KEY",
                    .code = "invalid_api_key"});
  }
  if (route == nullptr) {
    throw ApiError({.status = 404, .message = fmt::format("there is no {}", head.path)});
  }
  route = find(head.path, head.method);
  if (route == nullptr) {
    throw ApiError(
        {.status = 405, .message = fmt::format("{} takes {}", head.path, allowed(head.path))});
  }
  // What a form of a foreign web page can send without asking is not JSON by name.
  const std::string_view type = head.header("Content-Type");
  if (route->method == "POST" && !type.starts_with("application/json")) {
    throw ApiError({.status = 415, .message = "the body must be Content-Type: application/json"});
  }
}

bool Service::refuse(const HttpRequest& head, HttpResponse& answer) {
  if (preflight(head, answer)) return true;
  try {
    check_access(head);
    return false;
  } catch (const ApiError& error) {
    answer = error_response(error.detail(), dialect_of(head.path));
    if (answer.status == 405) answer.headers.emplace_back("Allow", allowed(head.path));
    return true;
  }
}

std::string_view Service::allowed_origin(const HttpRequest& request) const {
  const std::string_view origin = request.header("Origin");
  for (const std::string& allowed : options_.cors_origins) {
    if (allowed == "*" || (!origin.empty() && allowed == origin)) return allowed;
  }
  return {};
}

bool Service::preflight(const HttpRequest& head, HttpResponse& answer) const {
  if (head.method != "OPTIONS" || allowed_origin(head).empty() || allowed(head.path).empty()) {
    return false;
  }
  answer = {.status = 204,
            .headers = {{"Access-Control-Allow-Methods", allowed(head.path)},
                        {"Access-Control-Max-Age", "600"}}};
  if (const auto wanted = head.header("Access-Control-Request-Headers"); !wanted.empty()) {
    answer.headers.emplace_back("Access-Control-Allow-Headers", std::string(wanted));
  }
  return true;
}

HttpHeaders Service::extra_headers(const HttpRequest& request) {
  HttpHeaders headers = {{"X-Content-Type-Options", "nosniff"}};
  if (const auto origin = allowed_origin(request); !origin.empty()) {
    headers.emplace_back("Access-Control-Allow-Origin", std::string(origin));
    if (origin != "*") headers.emplace_back("Vary", "Origin");
  }
  return headers;
}

HttpResponse Service::problem(int status, std::string_view message) {
  return error_response({.status = status, .message = std::string(message)}, Dialect::openai);
}

void Service::answered(const HttpRequest& request, int status, std::size_t bytes, double seconds) {
  const Route* route = find(request.path, request.method);
  metrics_.answered(route == nullptr ? "other" : std::string(route->path), status);
  if (!log_) return;
  log_({request.remote, request.method, request.path, status, bytes, seconds});
}

void Service::handle(std::shared_ptr<Exchange> exchange) {
  const HttpRequest& request = exchange->request();
  const auto fail = [&](const ApiError::Detail& detail) {
    exchange->respond(error_response(detail, dialect_of(request.path)));
  };
  if (options_.request_log) options_.request_log(request);
  try {
    (this->*find(request.path, request.method)->handler)(exchange);
  } catch (const ApiError& error) {
    fail(error.detail());
  } catch (const Error& error) {
    fail(from_request(error).detail());
  }
}

// ---- About the server ----

void Service::health(const std::shared_ptr<Exchange>& exchange) {
  if (server_.draining()) {
    throw ApiError({.status = 503, .message = "the server is about to end"});
  }
  exchange->respond({.body = R"({"status":"ok"})"});
}

void Service::page(const std::shared_ptr<Exchange>& exchange) {
  exchange->respond(web_response(exchange->request()));
}

void Service::metrics(const std::shared_ptr<Exchange>& exchange) {
  const EngineStatus status = engine_.status();
  exchange->respond({.content_type = "text/plain; version=0.0.4; charset=utf-8",
                     .body = metrics_.text({.connections = server_.connections(),
                                            .running = status.running,
                                            .waiting = status.waiting,
                                            .kv_pages = status.kv_pages,
                                            .kv_bytes = status.kv_bytes,
                                            .kv_budget = engine_.kv_memory(),
                                            .cached_sequences = status.cached_sequences})});
}

}  // namespace zaya
