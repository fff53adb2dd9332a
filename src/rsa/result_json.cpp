#include "rsa/result_json.h"

#include <limits>

#include "zaya/error.h"

namespace zaya::rsa {

Json to_json(const Usage& usage) {
  return {{"calls", usage.calls},
          {"prompt_tokens", usage.prompt_tokens},
          {"cached_tokens", usage.cached_tokens},
          {"output_tokens", usage.output_tokens}};
}

Json output_json(const Output& o) {
  Json json = {{"reasoning", o.reasoning},
               {"answer", o.answer},
               {"finish_reason", finish_reason_name(o.finish)},
               {"prompt_tokens", o.prompt_tokens},
               {"cached_tokens", o.cached_tokens},
               {"output_tokens", o.output_tokens},
               {"seconds", o.seconds}};
  if (o.failed()) json["error"] = o.error;
  return json;
}

Output output_from_json(const Json& json, const std::string& where) {
  const JsonView view(json, where);
  const auto count = [&](const char* key) {
    return static_cast<std::size_t>(view.integer(key, 0, std::numeric_limits<std::int64_t>::max()));
  };
  Output o{.reasoning = view.string("reasoning"), .answer = view.string("answer")};
  const std::string finish = view.string("finish_reason");
  for (const FinishReason reason :
       {FinishReason::stop, FinishReason::length, FinishReason::cancelled}) {
    if (finish == finish_reason_name(reason)) o.finish = reason;
  }
  if (finish != finish_reason_name(o.finish)) {
    view.fail("finish_reason", "stop, length or cancelled");
  }
  o.error = view.string("error", "");
  o.prompt_tokens = count("prompt_tokens");
  o.cached_tokens = count("cached_tokens");
  o.output_tokens = count("output_tokens");
  o.seconds = view.number("seconds");
  return o;
}

Json to_json(const Candidate& c, bool texts) {
  Json json = {{"stage", c.stage}, {"candidate", c.slot}, {"sources", c.sources}};
  json["answer"] = c.answer ? Json(*c.answer) : Json();
  Json output = output_json(c.output);
  if (!texts) {
    output.erase("reasoning");
    output.erase("answer");
    json.update(output);
  } else {
    json["output"] = std::move(output);
  }
  return json;
}

Json to_json(const Result& r) {
  Json json;
  if (!r.id.empty()) json["id"] = r.id;
  const Candidate* choice = r.choice();
  json["answer"] = choice != nullptr && choice->answer ? Json(*choice->answer) : Json();
  json["text"] = choice != nullptr ? Json(choice->output.answer) : Json();
  json["chosen"] =
      choice != nullptr ? Json({{"stage", choice->stage}, {"candidate", choice->slot}}) : Json();
  json["votes"] = Json::array();
  for (const Vote& vote : r.votes) {
    json["votes"].push_back({{"answer", vote.answer}, {"candidates", vote.slots}});
  }
  json["stopped"] = r.stopped;
  if (!r.error.empty()) json["error"] = r.error;
  json["stages"] = Json::array();
  for (std::size_t stage = 0; stage < r.stages.size(); ++stage) {
    Json one = {{"usage", to_json(r.stage_usage[stage])}, {"candidates", Json::array()}};
    for (const Candidate& c : r.stages[stage]) one["candidates"].push_back(to_json(c, false));
    json["stages"].push_back(std::move(one));
  }
  json["usage"] = to_json(r.usage);
  json["largest_context"] = r.largest_context;
  json["context_bound"] = r.context_bound;
  return json;
}

Json trace_json(const Event& e) {
  Json json;
  switch (e.kind) {
    case Event::Kind::started: {
      json = {{"event", "started"},  {"problem", e.problem},       {"stage", e.stage},
              {"candidate", e.slot}, {"sources", e.task->sources}, {"messages", Json::array()}};
      for (const ChatMessage& m : e.task->messages) {
        json["messages"].push_back({{"role", m.role}, {"content", m.content}});
      }
      const SamplingParams& p = e.task->params;
      json["temperature"] = p.temperature;
      json["top_p"] = p.top_p;
      json["top_k"] = p.top_k;
      json["min_p"] = p.min_p;
      json["seed"] = p.seed;
      json["max_tokens"] = *p.max_tokens;
      return json;
    }
    case Event::Kind::progress:
      return nullptr;
    case Event::Kind::finished:
      json = {{"event", "finished"}, {"problem", e.problem}};
      json.update(to_json(*e.candidate, true));
      return json;
    case Event::Kind::stage_done:
      return {{"event", "stage_done"},
              {"problem", e.problem},
              {"stage", e.stage},
              {"usage", to_json(e.result->stage_usage[e.stage])}};
    case Event::Kind::problem_done:
      json = {{"event", "problem_done"}, {"problem", e.problem}};
      json.update(to_json(*e.result));
      return json;
  }
  return nullptr;
}

}  // namespace zaya::rsa
