#include "server/rsa_job.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/timing.h"
#include "rsa/answer_rule.h"
#include "rsa/engine_generator.h"
#include "rsa/solver.h"
#include "server/api_error.h"
#include "server/chat_reply.h"

namespace zaya {
namespace {

using Clock = std::chrono::steady_clock;

// How often a candidate's progress is told: what a page can show, and 64 candidates send a few kB
// a second.
constexpr std::chrono::milliseconds kTellEvery{250};

Json usage_of(const rsa::Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"cached_tokens", usage.cached_tokens},
          {"completion_tokens", usage.output_tokens}};
}

Json settings_of(const RsaCall& call) {
  Json json = rsa::to_json(call.settings);
  json["prompt"] = call.prompt_kind;
  return json;
}

Json widths_of(const rsa::Settings& settings) {
  Json widths = Json::array();
  for (std::size_t i = 0; i < settings.stages(); ++i) widths.push_back(settings.width(i));
  return widths;
}

Json candidate_json(const rsa::Candidate& c) {
  const rsa::Output& output = c.output;
  Json json = {{"stage", c.stage},
               {"candidate", c.slot},
               {"finish_reason", output.failed() ? "error" : finish_reason_name(output.finish)},
               {"tokens", output.output_tokens},
               {"cached_tokens", output.cached_tokens},
               {"seconds", output.seconds},
               {"answer", c.answer ? Json(*c.answer) : Json()}};
  if (output.failed()) json["error"] = output.error;
  return json;
}

Json result_json(const rsa::Result& result) {
  Json votes = Json::array();
  for (const rsa::Vote& vote : result.votes) {
    votes.push_back({{"answer", vote.answer}, {"candidates", vote.slots}});
  }
  return {{"stage", result.answer_stage},
          {"chosen", result.chosen ? Json(*result.chosen) : Json()},
          {"votes", std::move(votes)},
          {"largest_context", result.largest_context},
          {"context_bound", result.context_bound},
          {"stopped", result.stopped}};
}

// All that happens, on the thread of the run.
class Run {
 public:
  Run(RsaJob job, rsa::Problem problem, Json head)
      : engine_(job.engine),
        metrics_(job.metrics),
        exchange_(job.exchange),
        call_(std::move(job.call)),
        problem_(std::move(problem)),
        head_(std::move(head)),
        id_(job.context.id),
        created_(job.context.created),
        model_(job.context.model),
        generator_(engine_, {.slots = job.slots,
                             .thinking = call_.thinking,
                             .adapter = job.adapter,
                             .draft_tokens = call_.chat.params.draft_tokens}),
        members_(std::make_shared<Json>(Json::object())) {
    job.context.more = members_;
    reply_ = make_chat_reply(std::move(job.context), call_.chat);
  }

  void run(const std::stop_token& stop) {
    reply_->begin();
    Json first = {
        {"type", "run"}, {"settings", settings_of(call_)}, {"widths", widths_of(call_.settings)}};
    first.update(head_);
    tell(std::move(first));
    try {
      answer(rsa::solve(generator_, {problem_}, call_.settings,
                        {.observer = [&](const rsa::Event& e) { take(e); }, .stop = stop})
                 .front());
    } catch (const Error& error) {  // a template that a candidate has upset
      reply_->fail(from_request(error).detail());
    } catch (const std::exception& error) {
      reply_->fail({.status = 500, .message = error.what()});
    }
  }

 private:
  // Of a candidate that runs, what has not been told.
  struct Untold {
    std::size_t tokens = 0;
    TextPiece text = {};
    Clock::time_point told = {};
  };

  void tell(Json event) {
    if (!call_.chat.streaming.stream) return;
    exchange_->write(sse({{"id", id_},
                          {"object", "chat.completion.chunk"},
                          {"created", created_},
                          {"model", model_},
                          {"choices", Json::array()},
                          {"rsa", std::move(event)}}));
  }

  void tell_progress(std::size_t stage, std::size_t slot, Untold& of) {
    Json json = {
        {"type", "progress"}, {"stage", stage}, {"candidate", slot}, {"tokens", of.tokens}};
    if (call_.stream_candidates) {
      json["reasoning"] = std::exchange(of.text.reasoning, {});
      json["content"] = std::exchange(of.text.answer, {});
    }
    tell(std::move(json));
    of.told = Clock::now();
  }

  void take(const rsa::Event& event) {
    using Kind = rsa::Event::Kind;
    const std::pair place{event.stage, event.slot};
    switch (event.kind) {
      case Kind::started:
        tell({{"type", "start"},
              {"stage", event.stage},
              {"candidate", event.slot},
              {"sources", event.task->sources}});
        break;
      case Kind::progress: {
        Untold& untold = untold_[place];
        untold.tokens += event.tokens;
        if (call_.stream_candidates) {
          untold.text.reasoning += event.text->reasoning;
          untold.text.answer += event.text->answer;
        }
        if (Clock::now() - untold.told >= kTellEvery) {
          tell_progress(event.stage, event.slot, untold);
        }
        break;
      }
      case Kind::finished:
        finished(*event.candidate);
        break;
      case Kind::stage_done: {
        Json usage = usage_of(event.result->stage_usage[event.stage]);
        tell({{"type", "stage"}, {"stage", event.stage}, {"usage", std::move(usage)}});
        break;
      }
      case Kind::problem_done:
        break;
    }
  }

  void finished(const rsa::Candidate& candidate) {
    const rsa::Output& output = candidate.output;
    if (const auto at = untold_.find({candidate.stage, candidate.slot}); at != untold_.end()) {
      if (call_.stream_candidates) tell_progress(candidate.stage, candidate.slot, at->second);
      untold_.erase(at);
    }
    const RequestStats stats{.prompt_tokens = output.prompt_tokens,
                             .cached_tokens = output.cached_tokens,
                             .output_tokens = output.output_tokens};
    metrics_.choice_ended(output.finish, stats, output.seconds);
    // The model's own count is of a text that came by tokens; counted again it may differ by few.
    reasoning_tokens_ += generator_.count_tokens(output.reasoning);
    Json json = candidate_json(candidate);
    json["type"] = "done";
    tell(std::move(json));
  }

  void answer(const rsa::Result& result) {
    if (result.stopped || !result.error.empty()) {
      const bool failed = !result.error.empty();
      reply_->fail({.status = failed ? 500 : 503,
                    .message = failed ? result.error : "the request was cancelled"});
      return;
    }
    Json said = result_json(result);
    said["type"] = "result";
    tell(said);
    said.erase("type");
    *members_ = {{"rsa",
                  {{"settings", settings_of(call_)},
                   {"widths", widths_of(call_.settings)},
                   {"stages", stages_json(result)},
                   {"result", std::move(said)}}}};
    // The usage of the whole run is the first choice's.
    RequestStats sum{.decode_seconds = seconds_since(begun_),
                     .prompt_tokens = result.usage.prompt_tokens,
                     .cached_tokens = result.usage.cached_tokens,
                     .output_tokens = result.usage.output_tokens,
                     .reasoning_tokens = reasoning_tokens_};
    std::size_t choice = 0;
    for (const rsa::Candidate& c : result.stages[result.answer_stage]) {
      if (result.chosen && c.slot != *result.chosen) continue;
      reply_->event(choice++, {.finish = c.output.finish,
                               .stats = std::exchange(sum, {}),
                               .rest = {c.output.reasoning, c.output.answer}});
    }
    reply_->end();
  }

  static Json stages_json(const rsa::Result& result) {
    Json stages = Json::array();
    for (std::size_t stage = 0; stage < result.stages.size(); ++stage) {
      Json candidates = Json::array();
      for (const rsa::Candidate& c : result.stages[stage]) {
        candidates.push_back(candidate_json(c));
        candidates.back()["sources"] = c.sources;
      }
      stages.push_back(
          {{"usage", usage_of(result.stage_usage[stage])}, {"candidates", std::move(candidates)}});
    }
    return stages;
  }

  Engine& engine_;
  Metrics& metrics_;
  std::shared_ptr<Exchange> exchange_;
  RsaCall call_;
  rsa::Problem problem_;
  Json head_;
  std::string id_;
  std::int64_t created_;
  std::string model_;
  rsa::EngineGenerator generator_;
  std::shared_ptr<Json> members_;
  std::unique_ptr<Reply> reply_;
  Clock::time_point begun_ = Clock::now();
  std::map<std::pair<std::size_t, std::size_t>, Untold> untold_;
  std::size_t reasoning_tokens_ = 0;
};

}  // namespace

LongWork::~LongWork() {
  const auto stop_all = [&] {
    const std::lock_guard lock(lock_);
    for (Worker& worker : workers_) worker.thread.request_stop();
  };
  stop_all();  // all at once; the list then waits for one after the other
}

std::stop_source LongWork::start(Body body) {
  const std::lock_guard lock(lock_);
  std::erase_if(workers_, [](const Worker& worker) { return *worker.done; });
  Worker& worker = workers_.emplace_back();
  worker.thread =
      std::jthread([this, body = std::move(body), done = worker.done](std::stop_token stop) {
        body(std::move(stop));
        const std::lock_guard guard(lock_);
        *done = true;
      });
  return worker.thread.get_stop_source();
}

void RsaJob::start(RsaJob job, LongWork& threads) {
  const Engine& engine = job.engine;
  rsa::Settings& settings = job.call.settings;
  rsa::Problem problem{
      .messages = job.call.messages,
      .prompt = std::make_shared<const rsa::AggregationPrompt>(
          rsa::AggregationPrompt::builtin(job.call.prompt_kind)),
      .answers = rsa::answer_rule(rsa::answer_kind_of_prompt(job.call.prompt_kind))};
  const std::vector<TokenId> prompt = engine.encode_chat(job.call.messages, job.call.thinking);
  const Tokenizer& tokenizer = tokenizer_of(engine.text());
  std::string asked;
  for (const ChatMessage& message : problem.messages) {
    if (message.role == "user") asked = message.content;
  }
  const std::size_t bare = tokenizer.encode(asked).size();
  const std::size_t framed =
      tokenizer
          .encode(problem.prompt->render(asked, std::vector<std::string>(settings.subset), true))
          .size();
  const std::size_t frame = framed - std::min(bare, framed);
  fit_context(job.call, prompt.size(), frame, engine.context());
  // What is wrong with the conversation is found before anything is sent.
  rsa::Population(problem, settings, rsa::EngineGenerator(job.engine));
  const rsa::Forecast forecast =
      rsa::forecast(settings, {.prompt_tokens = prompt.size(),
                               .template_tokens = frame,
                               .slots = job.slots,
                               .context = engine.context(),
                               .kv_memory = engine.kv_memory(),
                               .kv_bytes = [&](std::size_t n) { return engine.kv_bytes(n); }});
  Json head = {{"kv_forecast_bytes", forecast.peak_bytes}, {"kv_budget_bytes", engine.kv_memory()}};

  const std::size_t places = std::min(job.slots, settings.population);
  Admission& admission = job.admission;
  admission.enter(places);
  const std::shared_ptr<Exchange> exchange = job.exchange;
  // A thread's body is copied, and a run cannot be.
  auto run = std::make_shared<Run>(std::move(job), std::move(problem), std::move(head));
  const std::stop_source stop =
      threads.start([run = std::move(run), &admission, places](const std::stop_token& token) {
        run->run(token);
        for (std::size_t i = 0; i < places; ++i) admission.leave();
      });
  exchange->on_disconnect([stop]() mutable { stop.request_stop(); });
}

}  // namespace zaya
