// Markovian RSA through /v1/chat/completions.
#include <chrono>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "server/api_error.h"
#include "server/rsa_call.h"
#include "tests/server/server_process.h"

namespace zaya {
namespace {

Json ask(Json more) {
  Json body = {{"messages",
                {{{"role", "system"}, {"content", "Be brief."}},
                 {{"role", "user"}, {"content", "What is 6 times 7?"}}}},
               {"seed", 5}};
  body.update(more);
  return body;
}

RsaCall read(const Json& more) {
  return read_rsa_call(ask(more), {}, Json::object());
}

std::string refused(const Json& more) {
  try {
    read(more);
  } catch (const ApiError& error) {
    return error.detail().param;
  }
  return "nothing";
}

TEST(RsaCalls, AreThoseThatAskForIt) {
  EXPECT_TRUE(asks_for_rsa({{"rsa", true}}));
  EXPECT_TRUE(asks_for_rsa({{"rsa", "light"}}));
  EXPECT_TRUE(asks_for_rsa({{"rsa", Json::object()}}));
  EXPECT_TRUE(asks_for_rsa({{"rsa_t", 2}}));
  EXPECT_FALSE(asks_for_rsa({{"rsa", false}}));
  EXPECT_FALSE(asks_for_rsa({{"rsa", nullptr}}));
  EXPECT_FALSE(asks_for_rsa({{"rsa_t", 0}}));
  EXPECT_FALSE(asks_for_rsa(Json::object()));
  EXPECT_FALSE(asks_for_rsa(Json::array()));
}

TEST(RsaCalls, TakePresetsEffortsAndSettings) {
  EXPECT_EQ(read({{"rsa", true}}).settings.population, 16U);
  EXPECT_EQ(read({{"rsa", true}, {"reasoning_effort", "low"}}).settings.population, 8U);
  EXPECT_EQ(read({{"rsa", "extra-high"}}).settings.population, 32U);
  const RsaCall call = read({{"rsa",
                              {{"preset", "light"},
                               {"rounds", 3},
                               {"carry", "answer_or_tail"},
                               {"prompt", "code"},
                               {"stream_candidates", true},
                               {"seed", 11}}},
                             {"temperature", 0.5},
                             {"max_completion_tokens", 100}});
  EXPECT_EQ(call.settings.rounds, 3U);
  EXPECT_EQ(call.settings.population, 8U);
  EXPECT_EQ(call.settings.carry, rsa::Carry::answer_or_tail);
  EXPECT_EQ(call.settings.sampling.front().temperature, 0.5);
  EXPECT_EQ(call.settings.final_tokens, 100U);
  EXPECT_EQ(call.settings.seed, 11U);
  EXPECT_EQ(call.prompt_kind, "code");
  EXPECT_TRUE(call.stream_candidates);
  EXPECT_EQ(call.messages.size(), 2U);
  EXPECT_TRUE(call.thinking);
  EXPECT_EQ(call.chat.n, 1U);
  EXPECT_FALSE(
      read({{"rsa", true}, {"chat_template_kwargs", {{"enable_thinking", false}}}}).thinking);
  EXPECT_EQ(read({{"rsa", {{"selection", "all"}, {"population", 6}}}}).chat.n, 6U);
}

TEST(RsaCalls, TakeTheReferenceProxysFields) {
  const rsa::Settings plain = read({{"rsa_t", 2}}).settings;
  EXPECT_EQ(plain.rounds, 2U);
  EXPECT_EQ(plain.population, 32U);
  EXPECT_EQ(plain.subset, 4U);
  EXPECT_EQ(plain.beta, 32768U);
  EXPECT_EQ(plain.tau, 4096U);
  EXPECT_EQ(plain.selection, rsa::Selection::single);
  ASSERT_TRUE(plain.final_sampling.has_value());
  EXPECT_EQ(plain.final_sampling->temperature, 0.6);
  EXPECT_EQ(plain.final_sampling->top_k, 40U);
  const rsa::Settings s = read({{"rsa_t", 1},
                                {"rsa_n", 6},
                                {"rsa_k", 3},
                                {"short_resp_len", 200},
                                {"tail_window_len", 50},
                                {"rsa_final_n", 0},
                                {"use_pacore", true},
                                {"final_temperature", 0.1}})
                              .settings;
  EXPECT_EQ(s.population, 6U);
  EXPECT_EQ(s.subset, 3U);
  EXPECT_EQ(s.beta, 200U);
  EXPECT_EQ(s.tau, 50U);
  EXPECT_EQ(s.selection, rsa::Selection::all);
  EXPECT_EQ(s.carry, rsa::Carry::answer_or_tail);
  EXPECT_EQ(s.final_sampling->temperature, 0.1);
  EXPECT_EQ(read({{"rsa_t", 1}, {"rsa_tail_window", false}}).settings.carry, rsa::Carry::full);
}

TEST(RsaCalls, RefuseWhatNoRunCan) {
  EXPECT_EQ(refused({{"rsa", true}, {"n", 2}}), "n");
  EXPECT_EQ(refused({{"rsa", true}, {"stop", "x"}}), "stop");
  EXPECT_EQ(refused({{"rsa", true}, {"logprobs", true}}), "logprobs");
  EXPECT_EQ(refused({{"rsa", true}, {"response_format", {{"type", "json_object"}}}}),
            "response_format");
  EXPECT_EQ(refused({{"rsa", true}, {"presence_penalty", 1.5}}), "presence_penalty");
  EXPECT_EQ(refused({{"rsa", true}, {"presence_penalty", 0}}), "nothing");
  EXPECT_EQ(refused({{"rsa", true}, {"repetition_penalty", 1.0}}), "nothing");
  EXPECT_EQ(
      refused({{"rsa", true}, {"tools", {{{"type", "function"}, {"function", {{"name", "f"}}}}}}}),
      "tools");
  EXPECT_EQ(refused({{"rsa", true},
                     {"messages",
                      {{{"role", "user"}, {"content", "a"}},
                       {{"role", "tool"}, {"tool_call_id", "1"}, {"content", "b"}}}}}),
            "messages");
  EXPECT_EQ(refused({{"rsa", "headlong"}}), "rsa");
  EXPECT_EQ(refused({{"rsa", 7}}), "rsa");
  EXPECT_EQ(refused({{"rsa", {{"roundz", 2}}}}), "rsa");
  EXPECT_EQ(refused({{"rsa", {{"prompt", "poetry"}}}}), "rsa.prompt");
  EXPECT_EQ(refused({{"rsa_t", 2}, {"rsa_final_n", 3}}), "rsa_final_n");
  EXPECT_EQ(refused({{"rsa_t", 2}, {"rsa_summarize", true}}), "rsa_summarize");
}

TEST(RsaCalls, FitTheContext) {
  RsaCall call = read({{"rsa", true}});
  fit_context(call, 100, 96, 4196);
  EXPECT_EQ(call.settings.tau, 500U);  // half of what the prompts leave, by four
  EXPECT_EQ(call.settings.beta, 2000U);
  EXPECT_EQ(call.settings.final_tokens, 2000U);
  RsaCall roomy = read({{"rsa", "headline"}});
  fit_context(roomy, 100, 100, 131072);
  EXPECT_EQ(roomy.settings, read({{"rsa", "headline"}}).settings);
  RsaCall given = read({{"rsa", {{"tau", 1000}}}});
  EXPECT_THROW(fit_context(given, 100, 96, 4196), ApiError);
  RsaCall longer = read({{"rsa", true}});
  EXPECT_THROW(fit_context(longer, 4100, 100, 4196), ApiError);
}

ServerProcess& server() {
  static ServerProcess process({"--max-num-seqs", "8"});
  return process;
}

Json small_run(Json more = Json::object()) {
  Json rsa = {{"rounds", 2}, {"population", 4}, {"subset", 2},
              {"beta", 24},  {"tau", 12},       {"final_tokens", 16}};
  rsa.update(more);
  return ask({{"rsa", rsa}});
}

TEST(RsaServer, StreamsARunAndThenItsAnswer) {
  Json body = small_run({{"stream_candidates", true}});
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  const HttpAnswer answer = post(server().port(), "/v1/chat/completions", body);
  ASSERT_EQ(answer.status, 200) << answer.body;
  auto events = answer.events();
  ASSERT_EQ(events.back(), "[DONE]");
  events.pop_back();

  std::vector<Json> run;
  std::string text;
  std::string finish;
  Json usage;
  for (const std::string& event : events) {
    const Json chunk = parse_json(event, "chunk");
    EXPECT_EQ(chunk.at("object"), "chat.completion.chunk");
    if (chunk.contains("rsa")) {
      EXPECT_TRUE(chunk.at("choices").empty());
      EXPECT_EQ(finish, "") << "the run is told before its answer";
      run.push_back(chunk.at("rsa"));
      continue;
    }
    if (chunk.contains("usage") && !chunk.at("usage").is_null()) usage = chunk.at("usage");
    for (const Json& choice : chunk.at("choices")) {
      text += choice.at("delta").value("reasoning", "") + choice.at("delta").value("content", "");
      if (!choice.at("finish_reason").is_null()) finish = choice.at("finish_reason");
    }
  }
  ASSERT_FALSE(run.empty());
  EXPECT_EQ(run.front().at("type"), "run");
  EXPECT_EQ(run.front().at("widths"), Json({4, 4, 4}));
  EXPECT_EQ(run.front().at("settings").at("tau"), 12);
  EXPECT_GT(run.front().at("kv_forecast_bytes"), 0);
  EXPECT_EQ(run.back().at("type"), "result");

  using Place = std::pair<int, int>;
  std::set<Place> started;
  std::set<Place> done;
  std::map<Place, std::string> texts;
  std::vector<int> stages;
  std::size_t tokens = 0;
  for (const Json& event : run) {
    const std::string type = event.at("type");
    if (type == "stage") stages.push_back(event.at("stage"));
    if (type != "start" && type != "progress" && type != "done") continue;
    const Place place{event.at("stage"), event.at("candidate")};
    if (type == "start") {
      EXPECT_TRUE(started.insert(place).second);
      EXPECT_EQ(event.at("sources").size(), place.first == 0 ? 0U : 2U);
      // A stage begins when the one before it has ended.
      EXPECT_EQ(stages.size(), static_cast<std::size_t>(place.first));
    } else if (type == "progress") {
      texts[place] +=
          event.at("reasoning").get<std::string>() + event.at("content").get<std::string>();
      EXPECT_TRUE(started.contains(place));
      EXPECT_FALSE(done.contains(place));
    } else {
      EXPECT_TRUE(done.insert(place).second);
      tokens += event.at("tokens").get<std::size_t>();
    }
  }
  EXPECT_EQ(done.size(), 12U);
  EXPECT_EQ(stages, (std::vector<int>{0, 1, 2}));
  const Place chosen{run.back().at("stage"), run.back().at("chosen")};
  EXPECT_EQ(chosen.first, 2);
  for (const Json& vote : run.back().at("votes")) EXPECT_FALSE(vote.at("candidates").empty());
  EXPECT_EQ(text, texts.at(chosen));
  EXPECT_NE(text, "");
  EXPECT_TRUE(finish == "length" || finish == "stop");
  EXPECT_EQ(usage.at("completion_tokens"), tokens);
  EXPECT_LE(run.back().at("largest_context"), run.back().at("context_bound"));
}

TEST(RsaServer, AnswersInOnePieceWithTheSameRun) {
  const HttpAnswer first = post(server().port(), "/v1/chat/completions", small_run());
  ASSERT_EQ(first.status, 200) << first.body;
  const Json json = first.json();
  ASSERT_EQ(json.at("choices").size(), 1U);
  const Json& run = json.at("rsa");
  EXPECT_EQ(run.at("widths"), Json({4, 4, 4}));
  ASSERT_EQ(run.at("stages").size(), 3U);
  std::size_t tokens = 0;
  for (const Json& stage : run.at("stages")) {
    EXPECT_EQ(stage.at("candidates").size(), 4U);
    tokens += stage.at("usage").at("completion_tokens").get<std::size_t>();
  }
  EXPECT_EQ(json.at("usage").at("completion_tokens"), tokens);
  // Of four prompts that are one, three are not computed.
  EXPECT_GT(run.at("stages")[0].at("usage").at("cached_tokens"), 0);
  const HttpAnswer second = post(server().port(), "/v1/chat/completions", small_run());
  EXPECT_EQ(second.json().at("choices")[0].at("message").at("content"),
            json.at("choices")[0].at("message").at("content"));
}

TEST(RsaServer, GivesEveryCandidateWhenAllAreWanted) {
  const HttpAnswer answer =
      post(server().port(), "/v1/chat/completions", small_run({{"selection", "all"}}));
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.json().at("choices").size(), 4U);
  EXPECT_EQ(answer.json().at("rsa").at("result").at("chosen"), nullptr);
}

// Of so many stages that it does not end by itself while a test waits.
Json long_run() {
  Json body = small_run(
      {{"rounds", 1000}, {"beta", 1000}, {"tau", 200}, {"final_tokens", 1000}, {"population", 8}});
  body["stream"] = true;
  return body;
}

TEST(RsaServer, StopsWhenItsClientLeaves) {
  {
    Connection connection(server().port());
    connection.send(post_text("/v1/chat/completions", long_run().dump()));
    ASSERT_TRUE(connection.read_until("\"progress\""));
  }
  // For half a second in a row: between two stages nothing runs for a moment.
  int idle = 0;
  for (int i = 0; i < 600 && idle < 20; ++i) {
    idle = metric(server().port(), "zaya_outputs_running") == 0 ? idle + 1 : 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  EXPECT_EQ(idle, 20) << "the run goes on";
  const HttpAnswer next = post(server().port(), "/v1/chat/completions", small_run());
  EXPECT_EQ(next.status, 200) << next.body;
}

TEST(RsaServer, IsTornDownWhileARunGoesOn) {
  ServerProcess own({"--drain-timeout", "0"});
  Connection connection(own.port());
  connection.send(post_text("/v1/chat/completions", long_run().dump()));
  ASSERT_TRUE(connection.read_until("\"progress\""));
  own.signal(SIGTERM);
  EXPECT_EQ(own.wait(), 0);
}

TEST(RsaServer, SaysInItsModelsThatItHasIt) {
  EXPECT_EQ(get(server().port(), "/v1/models").json().at("data")[0].at("rsa"), true);
}

}  // namespace
}  // namespace zaya
