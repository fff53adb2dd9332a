#include <string>

#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/cli/run.h"
#include "tests/rsa/fake_endpoint.h"

namespace zaya {
namespace {

TEST(SolveCommand, GeneratesElsewhere) {
  // Most say 4, some 5; the answer is in \boxed{} or not.
  rsa::test::FakeEndpoint endpoint([](const auto& asked, std::size_t) {
    if (asked.path == "/v1/models") {
      return rsa::test::FakeEndpoint::Reply{.body = R"({"data": [{"id": "m"}]})"};
    }
    const Json body = parse_json(asked.body, "request");
    const auto seed = body["seed"].template get<std::uint64_t>();
    const std::string answer = seed % 4 == 0 ? "\\boxed{5}" : "\\boxed{\\frac{8}{2}}";
    return rsa::test::FakeEndpoint::Reply{
        .body = Json{{"choices",
                      {{{"message", {{"content", answer}, {"reasoning_content", "2 + 2"}}},
                        {"finish_reason", "stop"}}}},
                     {"usage", {{"prompt_tokens", 5}, {"completion_tokens", 9}}}}
                    .dump()};
  });
  const RunResult r =
      run({"solve", ZAYA_SOURCE_DIR "/models/random-tiny", "What is 2 + 2?", "-T", "1", "-N", "12",
           "-C", "3", "--seed", "1", "--endpoint", endpoint.url()});
  ASSERT_EQ(r.exit_code, 0) << r.err;
  EXPECT_TRUE(contains(r.out, " x \\frac{8}{2}   (candidates ")) << r.out;
  EXPECT_TRUE(r.out.ends_with("\n\\frac{8}{2}\n")) << r.out;
  EXPECT_GE(endpoint.asked().size(), 24U + 1U);  // the calls, and the name of the model
  expect_failure(run({"solve", ZAYA_SOURCE_DIR "/models/random-tiny", "a", "-q", "--retries", "0",
                      "--endpoint", "http://127.0.0.1:1/v1,model=m"}),
                 1, "127.0.0.1");
  expect_failure(run({"solve", "/no/such", "a", "--endpoint", endpoint.url()}), 1, "/no/such");
}

}  // namespace
}  // namespace zaya
