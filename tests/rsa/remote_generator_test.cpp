#include "rsa/remote_generator.h"

#include <cstdlib>
#include <map>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "rsa/solver.h"
#include "tests/rsa/fake_endpoint.h"
#include "zaya/error.h"

namespace zaya::rsa {
namespace {

using test::FakeEndpoint;
using Reply = FakeEndpoint::Reply;

std::string completion(const Json& message, const char* finish = "stop", int tokens = 7) {
  return Json{{"choices", {{{"message", message}, {"finish_reason", finish}}}},
              {"usage",
               {{"prompt_tokens", 11},
                {"completion_tokens", tokens},
                {"prompt_tokens_details", {{"cached_tokens", 3}}}}}}
      .dump();
}

// Reasoning and answer follow from the request alone.
Reply thoughtful(const FakeEndpoint::Asked& asked, std::size_t /*number*/) {
  if (asked.path.ends_with("/models")) return {.body = R"({"data": [{"id": "the-model"}]})"};
  const Json body = parse_json(asked.body, "request");
  const auto seed = body["seed"].get<std::uint64_t>();
  return {.body = completion({{"role", "assistant"},
                              {"reasoning_content", fmt::format("I think of {}", seed)},
                              {"content", fmt::format("\\boxed{{{}}}", seed % 2)}})};
}

RemoteOptions options_of(std::vector<Endpoint> endpoints) {
  return {.endpoints = std::move(endpoints),
          .tokenizer = ZAYA_SOURCE_DIR "/models/random-tiny",
          .retries = 4,
          .backoff = std::chrono::milliseconds(1),
          .timeout = std::chrono::seconds(60)};
}

std::vector<Problem> one_problem() {
  return {{.messages = {{"system", "Be exact."}, {"user", "What is it?"}},
           .prompt = std::make_shared<const AggregationPrompt>(
               "{{ problem }}|{{ candidates | join('/') }}", "t")}};
}

Settings small() {
  return {.rounds = 1,
          .population = 6,
          .subset = 2,
          .beta = 100,
          .tau = 20,
          .final_tokens = 200,
          .sampling = {{0.7, 0.9, 5, 0.1}},
          .seed = 4};
}

Json texts_of(const Result& result) {
  Json out = Json::array();
  for (const auto& stage : result.stages) {
    for (const Candidate& c : stage) {
      out.push_back(
          {c.stage, c.slot, c.sources, c.output.reasoning, c.output.answer, c.output.error});
    }
  }
  return out;
}

TEST(RsaRemote, SendsWhatOpenAiTakes) {
  FakeEndpoint endpoint(thoughtful);
  ::setenv("ZAYA_TEST_KEY", "secret", 1);
  RemoteGenerator generator(
      options_of({parse_endpoint(endpoint.url() + "/,slots=3,key=ZAYA_TEST_KEY")}));
  EXPECT_EQ(generator.slots(), 3U);
  const Result result = solve(generator, one_problem(), small()).front();
  EXPECT_EQ(result.error, "");
  EXPECT_EQ(result.usage, (Usage{12, 12 * 11, 12 * 3, 12 * 7}));
  EXPECT_LE(endpoint.most_at_once(), 3U);
  std::size_t completions = 0;
  for (const auto& asked : endpoint.asked()) {
    EXPECT_NE(asked.head.find("Authorization: Bearer secret"), std::string::npos);
    if (asked.path == "/v1/models") continue;
    EXPECT_EQ(asked.path, "/v1/chat/completions");
    const Json body = parse_json(asked.body, "request");
    EXPECT_EQ(body["model"], "the-model");
    EXPECT_EQ(body["messages"][0]["content"], "Be exact.");
    EXPECT_EQ(body["temperature"], 0.7);
    EXPECT_EQ(body["top_p"], 0.9);
    EXPECT_EQ(body["top_k"], 5);
    EXPECT_EQ(body["min_p"], 0.1);
    EXPECT_EQ(body["stream"], false);
    const auto prompt = body["messages"][1]["content"].get<std::string>();
    const bool aggregates = prompt.starts_with("What is it?|I think of ");
    EXPECT_EQ(body["max_tokens"], aggregates ? 200 : 100) << prompt;
    ++completions;
  }
  EXPECT_EQ(completions, 12U);
}

TEST(RsaRemote, ReadsReasoningInEveryForm) {
  struct Case {
    Json message;
    const char* finish;
    const char* reasoning;
    const char* answer;
  };
  const std::vector<Case> cases = {
      {{{"content", "5"}, {"reasoning_content", "r"}}, "stop", "r", "5"},
      {{{"content", "5"}, {"reasoning", "r"}}, "stop", "r", "5"},
      {{{"content", "<think>\nr\n</think>\n\n5"}}, "stop", "r\n", "5"},
      {{{"content", "r</think>5"}}, "stop", "r", "5"},
      {{{"content", "<think>r"}}, "length", "r", ""},
      {{{"content", "5"}}, "stop", "", "5"},
      {{{"content", nullptr}, {"reasoning_content", "r"}}, "length", "r", ""},
  };
  for (const Case& c : cases) {
    FakeEndpoint endpoint(
        [&](const auto&, std::size_t) { return Reply{.body = completion(c.message, c.finish)}; });
    RemoteGenerator generator(options_of({{.url = endpoint.url(), .model = "m"}}));
    Settings one = small();
    one.rounds = 0;
    one.population = one.subset = 1;
    const Result result = solve(generator, one_problem(), one).front();
    const Output& output = result.stages[0][0].output;
    EXPECT_EQ(output.error, "");
    EXPECT_EQ(output.reasoning, c.reasoning);
    EXPECT_EQ(output.answer, c.answer);
    EXPECT_EQ(output.finish == FinishReason::length, std::string(c.finish) == "length");
  }
}

TEST(RsaRemote, TriesAgainWhatMayPass) {
  FakeEndpoint good(thoughtful);
  RemoteGenerator quiet(options_of({{.url = good.url(), .model = "m", .slots = 4}}));
  const Json want = texts_of(solve(quiet, one_problem(), small()).front());
  std::map<std::string, int> seen;
  FakeEndpoint flaky([&](const FakeEndpoint::Asked& asked, std::size_t number) {
    // Every request fails in one way or another before it is served.
    switch (seen[asked.body]++) {
      case 0:
        return Reply{.hang_up = true};
      case 1:
        return Reply{.status = 429, .body = "slow down"};
      case 2:
        return Reply{.status = 503, .body = "<html>"};
      case 3:
        return Reply{.body = completion({{"content", "long"}}), .cut = true};
      default:
        return thoughtful(asked, number);
    }
  });
  RemoteGenerator generator(options_of({{.url = flaky.url(), .model = "m", .slots = 4}}));
  EXPECT_EQ(texts_of(solve(generator, one_problem(), small()).front()), want);
  EXPECT_EQ(flaky.asked().size(), 12U * 5);
}

TEST(RsaRemote, GivesUpWhatWillNotPass) {
  FakeEndpoint refusing([](const auto&, std::size_t) {
    return Reply{.status = 400, .body = R"({"error": "too long"})"};
  });
  RemoteGenerator generator(options_of({{.url = refusing.url(), .model = "m"}}));
  const Result result = solve(generator, one_problem(), small()).front();
  EXPECT_NE(result.error.find("status 400"), std::string::npos) << result.error;
  EXPECT_NE(result.error.find("too long"), std::string::npos);
  EXPECT_EQ(refusing.asked().size(), 6U);

  FakeEndpoint down([](const auto&, std::size_t) { return Reply{.status = 500}; });
  RemoteGenerator other(options_of({{.url = down.url(), .model = "m"}}));
  EXPECT_NE(solve(other, one_problem(), small()).front().error, "");
  EXPECT_EQ(down.asked().size(), 6U * 5);  // once, and four times more

  RemoteGenerator nobody(options_of({{.url = "http://127.0.0.1:1/v1", .model = "m"}}));
  EXPECT_NE(solve(nobody, one_problem(), small()).front().error, "");
}

TEST(RsaRemote, SharesCallsByWeightAndGoesAroundWhatIsDown) {
  FakeEndpoint heavy(thoughtful);
  FakeEndpoint light(thoughtful);
  FakeEndpoint down([](const auto&, std::size_t) { return Reply{.hang_up = true}; });
  Settings many = small();
  many.population = 40;
  {
    RemoteGenerator generator(
        options_of({{.url = heavy.url(), .model = "m", .weight = 3, .slots = 40},
                    {.url = light.url(), .model = "m", .weight = 1, .slots = 40}}));
    EXPECT_EQ(solve(generator, one_problem(), many).front().error, "");
  }
  const std::size_t at_heavy = heavy.asked().size();
  EXPECT_EQ(at_heavy + light.asked().size(), 80U);
  EXPECT_EQ(at_heavy, 60U);  // nothing waits for a place, so it is the weights alone
  RemoteGenerator generator(options_of({{.url = down.url(), .model = "m", .slots = 2},
                                        {.url = light.url(), .model = "m", .slots = 2}}));
  const Result result = solve(generator, one_problem(), small()).front();
  EXPECT_EQ(result.error, "");
  for (const auto& stage : result.stages) {
    for (const Candidate& c : stage) EXPECT_EQ(c.output.error, "");
  }
}

TEST(RsaRemote, CancelsWhatRuns) {
  FakeEndpoint endpoint([](const auto&, std::size_t) { return Reply{.never = true}; });
  RemoteGenerator generator(options_of({{.url = endpoint.url(), .model = "m", .slots = 2}}));
  std::stop_source stop;
  std::thread later([&] {
    while (endpoint.asked().size() < 2) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    stop.request_stop();
  });
  const Result result =
      solve(generator, one_problem(), small(), {.stop = stop.get_token()}).front();
  later.join();
  EXPECT_TRUE(result.stopped);
}

TEST(RsaRemote, EndpointsAreChecked) {
  const Endpoint all = parse_endpoint("https://host/v1,model=a/b,weight=2.5,slots=7");
  EXPECT_EQ(all.url, "https://host/v1");
  EXPECT_EQ(all.model, "a/b");
  EXPECT_EQ(all.weight, 2.5);
  EXPECT_EQ(all.slots, 7U);
  for (const char* bad : {"", "host:8000", "file:///etc/passwd", "http://h,weight=0",
                          "http://h,weight=x", "http://h,slots=0", "http://h,key=NO_SUCH_VARIABLE",
                          "http://h,color=red", "http://h,model"}) {
    EXPECT_THROW(parse_endpoint(bad), Error) << bad;
  }
  EXPECT_THROW(RemoteGenerator(options_of({})), Error);
  RemoteOptions no_tokenizer = options_of({{.url = "http://h"}});
  no_tokenizer.tokenizer = "/no/such";
  EXPECT_THROW(RemoteGenerator{no_tokenizer}, Error);
}

}  // namespace
}  // namespace zaya::rsa
