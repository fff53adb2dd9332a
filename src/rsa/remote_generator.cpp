#include "rsa/remote_generator.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/json.h"
#include "base/random.h"
#include "rsa/engine_generator.h"
#include "rsa/http_client.h"
#include "text/tokenizer.h"
#include "text/utf8.h"
#include "zaya/error.h"

namespace zaya::rsa {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";

std::string_view without_newlines(std::string_view text) {
  while (text.starts_with('\n')) text.remove_prefix(1);
  return text;
}

// What a server without a parser of reasoning gives as content: both parts with their tags.
void split_tags(Output& output) {
  const std::size_t close = output.answer.find(kClose);
  std::string_view text = output.answer;
  if (close == std::string::npos) {
    if (!without_newlines(text).starts_with(kOpen)) return;
    output.reasoning = without_newlines(without_newlines(text).substr(kOpen.size()));
    output.answer.clear();
    return;
  }
  std::string_view reasoning = without_newlines(text.substr(0, close));
  if (reasoning.starts_with(kOpen)) reasoning.remove_prefix(kOpen.size());
  output.reasoning = without_newlines(reasoning);
  output.answer = std::string(without_newlines(text.substr(close + kClose.size())));
}

std::string text_or_empty(const JsonView& view, std::string_view key) {
  return view.has(key) ? replace_invalid_utf8(view.string(key)) : std::string();
}

// Throws Error when it is no chat completion.
Output read_completion(const std::string& body, const std::string& where) {
  const Json json = parse_json(body, where);
  const JsonView view(json, where);
  const Json& choices = view.at("choices");
  if (!choices.is_array() || choices.empty()) view.fail("choices", "a list with one choice");
  const JsonView choice(choices[0], where + ": choices[0]");
  const JsonView message = choice.object("message");
  Output output{.answer = text_or_empty(message, "content")};
  // vLLM and SGLang call it reasoning_content, newer ones reasoning.
  for (const char* key : {"reasoning_content", "reasoning"}) {
    if (output.reasoning.empty()) output.reasoning = text_or_empty(message, key);
  }
  if (output.reasoning.empty()) split_tags(output);
  const std::string finish = choice.string("finish_reason", "stop");
  output.finish = finish == "length" ? FinishReason::length : FinishReason::stop;
  if (view.has("usage")) {
    const JsonView usage = view.object("usage");
    const auto count = [](const JsonView& of, const char* key) {
      return static_cast<std::size_t>(of.integer(key, 0, std::int64_t{1} << 40, 0));
    };
    output.prompt_tokens = count(usage, "prompt_tokens");
    output.output_tokens = count(usage, "completion_tokens");
    if (usage.has("prompt_tokens_details")) {
      output.cached_tokens = count(usage.object("prompt_tokens_details"), "cached_tokens");
    }
  }
  return output;
}

bool may_pass(const HttpReply& reply) {
  return reply.status == 0 || reply.status == 408 || reply.status == 429 || reply.status >= 500;
}

// What a server says of its refusal, cut to a line.
std::string complaint(const HttpReply& reply) {
  if (reply.status == 0) return reply.error;
  std::string text = replace_invalid_utf8(reply.body.substr(0, 300));
  std::replace(text.begin(), text.end(), '\n', ' ');
  return fmt::format("status {}: {}", reply.status, text);
}

}  // namespace

Endpoint parse_endpoint(std::string_view text) {
  const auto fail = [&](const std::string& what) {
    throw Error(
        {.where = fmt::format("endpoint '{}'", text.substr(0, 200)),
         .what = what,
         .expected = "http(s)://HOST[:PORT]/v1[,model=NAME][,weight=W][,slots=N][,key=VARIABLE]"});
  };
  Endpoint out;
  std::size_t at = 0;
  for (bool first = true; at <= text.size(); first = false) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string_view part = text.substr(at, comma - at);
    at = comma + 1;
    if (first) {
      out.url = std::string(part);
      continue;
    }
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) fail(fmt::format("'{}' has no value", part));
    const std::string_view name = part.substr(0, equals);
    const std::string value(part.substr(equals + 1));
    const char* end = value.data() + value.size();
    if (name == "model") {
      out.model = value;
    } else if (name == "weight") {
      const auto [stop, error] = std::from_chars(value.data(), end, out.weight);
      if (error != std::errc{} || stop != end || !(out.weight > 0) || out.weight > 1e6) {
        fail("the weight is no positive number");
      }
    } else if (name == "slots") {
      const auto [stop, error] = std::from_chars(value.data(), end, out.slots);
      if (error != std::errc{} || stop != end || out.slots == 0 || out.slots > 1024) {
        fail("slots are 1 to 1024");
      }
    } else if (name == "key") {
      const char* key = std::getenv(value.c_str());
      if (key == nullptr) fail(fmt::format("there is no environment variable {}", value));
      out.api_key = key;
    } else {
      fail(fmt::format("'{}' is no setting", name));
    }
  }
  while (out.url.ends_with('/')) out.url.pop_back();
  if (!out.url.starts_with("http://") && !out.url.starts_with("https://")) fail("not a URL");
  return out;
}

class RemoteGenerator::Impl {
 public:
  explicit Impl(RemoteOptions options)
      : options_(std::move(options)),
        tokenizer_(Tokenizer::load(options_.tokenizer / "tokenizer.json")) {
    for (const Endpoint& endpoint : options_.endpoints) {
      servers_.push_back({.endpoint = endpoint, .model = endpoint.model});
    }
    if (servers_.empty()) throw Error({.where = "endpoints", .what = "there are none"});
    for (std::size_t i = 0; i < slots(); ++i) threads_.emplace_back([this] { work(); });
  }
  ~Impl() {
    {
      const std::lock_guard guard(lock_);
      ends_ = true;
      for (const auto& job : jobs_) job.second->cancelled = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  CallId start(Call call) {
    const std::lock_guard guard(lock_);
    const CallId id = next_++;
    auto job = std::make_shared<Job>();
    job->id = id;
    job->call = std::move(call);
    jobs_[id] = job;
    waiting_.push_back(std::move(job));
    changed_.notify_one();
    return id;
  }
  void cancel(CallId id) {
    const std::lock_guard guard(lock_);
    if (const auto at = jobs_.find(id); at != jobs_.end()) at->second->cancelled = true;
    changed_.notify_all();
  }
  std::size_t slots() const {
    std::size_t all = 0;
    for (const Endpoint& endpoint : options_.endpoints) all += endpoint.slots;
    return std::min<std::size_t>(all, 1024);
  }
  const Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  struct Job {
    CallId id = 0;
    Call call;
    std::atomic<bool> cancelled = false;
  };
  struct Server {
    Endpoint endpoint;
    std::string model;
    std::size_t busy = 0;
    double served = 0;  // calls over weight: the least is next
  };

  void work();
  void serve(Job& job);
  Output attempt(const Job& job, std::size_t server, bool& again);
  std::optional<std::size_t> take_server(std::unique_lock<std::mutex>& guard, const Job& job,
                                         std::optional<std::size_t> not_this);
  std::string model_of(std::size_t server, const Job& job, std::string& error);
  std::vector<std::string> headers_of(const Endpoint& endpoint) const;
  std::string body_of(const Job& job, const std::string& model) const;

  RemoteOptions options_;
  Tokenizer tokenizer_;
  std::mutex lock_;
  std::condition_variable changed_;
  std::vector<Server> servers_;
  std::deque<std::shared_ptr<Job>> waiting_;
  std::map<CallId, std::shared_ptr<Job>> jobs_;
  CallId next_ = 1;
  bool ends_ = false;
  std::vector<std::thread> threads_;  // last: they use all of the above
};

void RemoteGenerator::Impl::work() {
  std::unique_lock guard(lock_);
  for (;;) {
    changed_.wait(guard, [&] { return ends_ || !waiting_.empty(); });
    if (waiting_.empty()) return;  // the generator goes, and nothing is left
    const std::shared_ptr<Job> job = std::move(waiting_.front());
    waiting_.pop_front();
    guard.unlock();
    serve(*job);
    guard.lock();
    jobs_.erase(job->id);
  }
}

// Of those that have room the one that has had least for its weight; waits until one has.
std::optional<std::size_t> RemoteGenerator::Impl::take_server(std::unique_lock<std::mutex>& guard,
                                                              const Job& job,
                                                              std::optional<std::size_t> not_this) {
  for (;;) {
    if (job.cancelled) return std::nullopt;
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < servers_.size(); ++i) {
      if (servers_[i].busy >= servers_[i].endpoint.slots) continue;
      if (servers_.size() > 1 && i == not_this) continue;
      if (!best || servers_[i].served < servers_[*best].served) best = i;
    }
    if (best) {
      ++servers_[*best].busy;
      servers_[*best].served += 1.0 / servers_[*best].endpoint.weight;
      return best;
    }
    changed_.wait(guard);
  }
}

void RemoteGenerator::Impl::serve(Job& job) {
  const Clock::time_point begin = Clock::now();
  Random jitter(job.id);
  Output output;
  std::optional<std::size_t> failed_at;
  for (std::size_t tries = 0; tries <= options_.retries && !job.cancelled; ++tries) {
    if (tries > 0) {
      const auto most = std::min<std::chrono::milliseconds>(
          options_.backoff * (1 << std::min<std::size_t>(tries - 1, 16)), std::chrono::minutes(1));
      const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(
          most * (0.5 + 0.5 * jitter.uniform()));
      std::unique_lock guard(lock_);
      changed_.wait_for(guard, wait, [&] { return job.cancelled.load(); });
    }
    std::unique_lock guard(lock_);
    const std::optional<std::size_t> server = take_server(guard, job, failed_at);
    if (!server) break;
    guard.unlock();
    bool again = false;
    output = attempt(job, *server, again);
    guard.lock();
    --servers_[*server].busy;
    changed_.notify_all();
    guard.unlock();
    if (!again) break;
    failed_at = server;
  }
  if (job.cancelled) output = {};
  output.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  if (!output.failed() && job.call.on_text) {
    job.call.on_text(output.output_tokens, {output.reasoning, output.answer});
  }
  if (job.call.on_done) job.call.on_done(std::move(output));
}

std::vector<std::string> RemoteGenerator::Impl::headers_of(const Endpoint& endpoint) const {
  std::vector<std::string> headers = {"Content-Type: application/json", "Expect:"};
  if (!endpoint.api_key.empty()) headers.push_back("Authorization: Bearer " + endpoint.api_key);
  return headers;
}

std::string RemoteGenerator::Impl::model_of(std::size_t server, const Job& job,
                                            std::string& error) {
  Endpoint endpoint;
  {
    const std::lock_guard guard(lock_);
    if (!servers_[server].model.empty()) return servers_[server].model;
    endpoint = servers_[server].endpoint;
  }
  const std::string url = endpoint.url + "/models";
  const HttpReply reply =
      http_request(url, "", headers_of(endpoint), std::chrono::seconds(60), job.cancelled);
  try {
    if (reply.status != 200) throw Error({.where = url, .what = complaint(reply)});
    const Json json = parse_json(reply.body, url);
    const Json& list = JsonView(json, url).at("data");
    if (!list.is_array() || list.empty()) throw Error({.where = url, .what = "it names no model"});
    const std::string name = JsonView(list[0], url).string("id");
    const std::lock_guard guard(lock_);
    return servers_[server].model = name;
  } catch (const Error& e) {
    error = e.what();
    return {};
  }
}

std::string RemoteGenerator::Impl::body_of(const Job& job, const std::string& model) const {
  const SamplingParams& p = job.call.params;
  Json body = {{"model", model},
               {"messages", Json::array()},
               {"temperature", p.temperature},
               {"top_p", p.top_p},
               {"seed", p.seed},
               {"stream", false}};
  for (const ChatMessage& m : job.call.messages) {
    body["messages"].push_back({{"role", m.role}, {"content", m.content}});
  }
  if (p.max_tokens) body["max_tokens"] = *p.max_tokens;
  // Not OpenAI's: sent only where they say something.
  if (p.top_k > 0) body["top_k"] = p.top_k;
  if (p.min_p > 0) body["min_p"] = p.min_p;
  if (!options_.thinking) body["chat_template_kwargs"] = {{"enable_thinking", false}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Output RemoteGenerator::Impl::attempt(const Job& job, std::size_t server, bool& again) {
  Output output;
  const std::string model = model_of(server, job, output.error);
  if (model.empty()) {
    again = true;
    return output;
  }
  const Endpoint endpoint = options_.endpoints[server];
  const std::string url = endpoint.url + "/chat/completions";
  const HttpReply reply =
      http_request(url, body_of(job, model), headers_of(endpoint), options_.timeout, job.cancelled);
  if (reply.status == 200) {
    try {
      return read_completion(reply.body, url);
    } catch (const Error& e) {  // half a reply, or a proxy's page
      again = true;
      output.error = e.what();
      return output;
    }
  }
  again = may_pass(reply);
  output.error = fmt::format("{}: {}", url, complaint(reply));
  return output;
}

RemoteGenerator::RemoteGenerator(RemoteOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}

RemoteGenerator::~RemoteGenerator() = default;

CallId RemoteGenerator::start(Call call) {
  return impl_->start(std::move(call));
}

void RemoteGenerator::cancel(CallId call) {
  impl_->cancel(call);
}

std::size_t RemoteGenerator::slots() const {
  return impl_->slots();
}

std::size_t RemoteGenerator::count_tokens(std::string_view text) const {
  return impl_->tokenizer().encode(text).size();
}

std::string RemoteGenerator::tail(std::string_view text, std::size_t tokens) const {
  return last_tokens(impl_->tokenizer(), text, tokens);
}

}  // namespace zaya::rsa
