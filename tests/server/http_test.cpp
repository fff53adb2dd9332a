// The HTTP side of `zaya serve`, through plain sockets: what well-behaved, broken and hostile
// clients get.
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/server/server_process.h"

namespace zaya {
namespace {

/// One server for the tests that leave it as it was.
ServerProcess& server() {
  static ServerProcess process({"--no-enable-prefix-caching"});
  return process;
}

const Json kShort = {{"messages", {{{"role", "user"}, {"content", "Hi"}}}}, {"max_tokens", 4}};

/// Outputs that nobody waits for: all of them together take long.
Json long_stream(int outputs = 8) {
  return {{"prompt", "a"},
          {"max_tokens", 3900},
          {"n", outputs},
          {"ignore_eos", true},
          {"stream", true}};
}

void expect_alive(std::uint16_t port) {
  EXPECT_EQ(get(port, "/health").status, 200);
}

TEST(Http, AnswersHealth) {
  const HttpAnswer answer = get(server().port(), "/health");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.json(), Json({{"status", "ok"}}));
  EXPECT_TRUE(answer.has("\r\ndate: ")) << answer.head;
  EXPECT_TRUE(answer.has("x-content-type-options: nosniff"));
  EXPECT_FALSE(answer.has("access-control-allow-origin"));
}

TEST(Http, ServesThePage) {
  const auto port = server().port();
  const HttpAnswer page = get(port, "/");
  if (!ZAYA_WITH_WEB) {
    EXPECT_EQ(page.status, 404);
    EXPECT_TRUE(contains(page.body, "without the web page"));
    return;
  }
  EXPECT_EQ(page.status, 200);
  EXPECT_TRUE(contains(page.body, "<!doctype html>") || contains(page.body, "<!DOCTYPE html>"));
  EXPECT_TRUE(page.has("content-type: text/html; charset=utf-8"));
  EXPECT_TRUE(page.has("content-security-policy: default-src 'none'; script-src 'self'"));
  EXPECT_TRUE(page.has("cache-control: no-cache"));
  const auto at = page.head.find("etag: ") + 6;
  const std::string tag = page.head.substr(at, page.head.find('\r', at) - at);
  const HttpAnswer same = get(port, "/", "If-None-Match: " + tag + "\r\n");
  EXPECT_EQ(same.status, 304);
  EXPECT_EQ(same.body, "");
  const auto name = page.body.find("assets/app-");
  ASSERT_NE(name, std::string::npos);
  const std::string script = "/" + page.body.substr(name, page.body.find('"', name) - name);
  const HttpAnswer plain = get(port, script);
  const HttpAnswer packed = get(port, script, "Accept-Encoding: br, gzip\r\n");
  EXPECT_TRUE(plain.has("immutable"));
  EXPECT_TRUE(packed.has("content-encoding: gzip"));
  EXPECT_LT(packed.body.size() * 2, plain.body.size());
  EXPECT_EQ(get(port, "/assets/../index.html").status, 404);
}

TEST(Http, HeadHasNoBody) {
  Connection c(server().port());
  c.send("HEAD /health HTTP/1.1\r\nHost: test\r\n\r\n" + get_text("/health"));
  EXPECT_EQ(c.receive(60, /*head_only=*/true).status, 200);
  EXPECT_EQ(c.receive().body, R"({"status":"ok"})");
}

TEST(Http, RefusesUnknownPathsAndMethods) {
  const auto port = server().port();
  EXPECT_EQ(get(port, "/v2/none").status, 404);
  EXPECT_EQ(get(port, "/v2/none").json().at("error").at("type"), "not_found_error");
  const HttpAnswer answer = get(port, "/v1/chat/completions");
  EXPECT_EQ(answer.status, 405);
  EXPECT_TRUE(answer.has("\r\nallow: post\r\n")) << answer.head;
  Connection c(port);
  c.send("DELETE /health HTTP/1.1\r\nHost: test\r\n\r\n");
  EXPECT_EQ(c.receive().status, 405);
  c.send("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n");
  EXPECT_EQ(c.receive().status, 404) << "and the connection stays";
}

TEST(Http, WantsJson) {
  Connection c(server().port());
  c.send(
      "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Type: text/plain\r\n"
      "Content-Length: 2\r\n\r\n{}");
  EXPECT_EQ(c.receive().status, 415);
  EXPECT_TRUE(c.closed());
}

TEST(Http, KeepsConnectionsAndAnswersPipelinedRequestsInOrder) {
  Connection c(server().port());
  std::string all;
  for (int i = 0; i < 50; ++i) {
    all += i % 2 == 0 ? get_text("/health") : get_text("/v1/models");
  }
  c.send(all + post_text("/v1/chat/completions", kShort.dump()) + get_text("/health"));
  for (int i = 0; i < 50; ++i) {
    const HttpAnswer answer = c.receive();
    ASSERT_EQ(answer.status, 200);
    EXPECT_EQ(answer.json().contains("status"), i % 2 == 0) << i;
  }
  EXPECT_TRUE(c.receive().json().contains("choices"));
  EXPECT_TRUE(c.receive().json().contains("status"));
}

TEST(Http, ClosesWhenAsked) {
  Connection c(server().port());
  c.send(get_text("/health", "Connection: close\r\n"));
  const HttpAnswer answer = c.receive();
  EXPECT_TRUE(answer.has("connection: close"));
  EXPECT_TRUE(c.closed());
}

TEST(Http, SpeaksHttp10) {
  Connection c(server().port());
  c.send("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_EQ(c.receive().status, 200);
  EXPECT_TRUE(c.closed());
  Json body = kShort;
  body["stream"] = true;
  const std::string text = body.dump();
  Connection s(server().port());
  s.send(
      "POST /v1/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: " +
      std::to_string(text.size()) + "\r\n\r\n" + text);
  const HttpAnswer stream = s.receive();
  EXPECT_FALSE(stream.has("transfer-encoding"));
  EXPECT_EQ(stream.events().back(), "[DONE]");
}

TEST(Http, ReadsChunkedBodies) {
  const std::string body = kShort.dump();
  Connection c(server().port());
  c.send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n");
  for (const char b : body) {
    c.send("1;ext=1\r\n" + std::string(1, b) + "\r\n");
  }
  c.send("0\r\nTrailer: x\r\n\r\n" + get_text("/health"));
  EXPECT_EQ(c.receive().status, 200);
  EXPECT_EQ(c.receive().status, 200);
}

TEST(Http, AnswersExpect100) {
  const std::string body = kShort.dump();
  Connection c(server().port());
  c.send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
      "Expect: 100-continue\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n");
  EXPECT_EQ(c.receive().status, 100);
  c.send(body);
  EXPECT_EQ(c.receive().status, 200);
  // What is not wanted is not asked for.
  Connection none(server().port());
  none.send(
      "POST /v1/none HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
  EXPECT_EQ(none.receive().status, 404);
  EXPECT_TRUE(none.closed());
}

TEST(Http, RefusesMalformedRequests) {
  const std::string long_field(40000, 'a');
  struct Case {
    std::string text;
    int status;
  };
  for (const Case& bad : std::vector<Case>{
           {"NONSENSE\r\n\r\n", 400},
           {"GET /health HTTP/9.9\r\n\r\n", 400},
           {"GET health HTTP/1.1\r\n\r\n", 400},
           {"GET /%zz HTTP/1.1\r\n\r\n", 400},
           {"GET /health HTTP/1.1\r\nno colon\r\n\r\n", 400},
           {"GET /health HTTP/1.1\r\nA: b\r\n c\r\nHost : x\r\n\r\n", 400},
           {std::string("GET /he\0alth HTTP/1.1\r\n\r\n", 26), 400},
           {"POST /v1/completions HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
           {"POST /v1/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
           {"POST /v1/completions HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: "
            "chunked\r\n\r\n",
            400},
           {"POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            400},
           {"POST /v1/completions HTTP/1.1\r\nContent-Type: application/json\r\n"
            "Content-Length: 99999999999\r\n\r\n",
            413},
           {"GET /health HTTP/1.1\r\nX: " + long_field + "\r\n\r\n", 431},
       }) {
    Connection c(server().port());
    c.send(bad.text);
    const HttpAnswer answer = c.receive();
    EXPECT_EQ(answer.status, bad.status) << bad.text.substr(0, 200) << "\n" << answer.body;
    EXPECT_TRUE(c.closed()) << bad.text.substr(0, 200);
  }
  expect_alive(server().port());
}

TEST(Http, RefusesALargeBodyWhileItIsBeingSent) {
  Connection c(server().port());
  c.send(
      "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "100000\r\n" + std::string(0x100000, ' ') + "\r\n";
  for (int i = 0; i < 20 && c.send(chunk); ++i) {
  }
  EXPECT_EQ(c.receive().status, 413);
  expect_alive(server().port());
}

TEST(Http, ClientsThatLeaveCancelTheirRequests) {
  const auto port = server().port();
  const double before = metric(port, "zaya_outputs_total{reason=\"cancelled\"}");
  {
    Connection streaming(port);
    streaming.send(post_text("/v1/completions", long_stream().dump()));
    ASSERT_TRUE(streaming.read_until("data: "));
    Connection whole(port);
    Json body = long_stream();
    body.erase("stream");
    whole.send(post_text("/v1/completions", body.dump()));
    Connection reset(port);
    reset.send(post_text("/v1/completions", long_stream().dump()));
    ASSERT_TRUE(reset.read_until("data: "));
    reset.reset_on_close();
  }
  EXPECT_TRUE(metric_becomes(port, "zaya_outputs_running", 0));
  EXPECT_TRUE(metric_becomes(port, "zaya_kv_pages", 0));
  EXPECT_TRUE(metric_becomes(port, "zaya_outputs_total{reason=\"cancelled\"}", before + 24));
}

TEST(Http, AHalfClosedClientGetsShortAnswersAndCancelsLongOnes) {
  const auto port = server().port();
  Connection c(port);
  c.send(get_text("/health") + get_text("/health"));
  c.close_writing();
  EXPECT_EQ(c.receive().status, 200);
  EXPECT_EQ(c.receive().status, 200);
  EXPECT_TRUE(c.closed());
  Connection stream(port);
  stream.send(post_text("/v1/completions", long_stream().dump()));
  stream.close_writing();
  EXPECT_TRUE(stream.closed(30));
  EXPECT_TRUE(metric_becomes(port, "zaya_outputs_running", 0));
}

TEST(Http, BusyAndIdleConnectionsSideBySide) {
  const auto port = server().port();
  std::vector<std::unique_ptr<Connection>> idle;
  for (int i = 0; i < 1000; ++i) {
    idle.push_back(std::make_unique<Connection>(port));
    if (i % 3 == 0) idle.back()->send("GET /hea");  // and no more
  }
  std::vector<Connection> active;
  Json body = {{"prompt", "ab"}, {"max_tokens", 8}, {"stream", true}, {"ignore_eos", true}};
  for (int i = 0; i < 64; ++i) {
    active.emplace_back(port);
    active.back().send(post_text("/v1/completions", body.dump()));
  }
  expect_alive(port);
  for (Connection& c : active) {
    const HttpAnswer answer = c.receive(300);
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(answer.events().back(), "[DONE]");
  }
  EXPECT_GE(metric(port, "zaya_connections"), 1000);
  idle[0]->send("lth HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(idle[0]->receive().status, 200);
  idle.clear();
  EXPECT_TRUE(metric_becomes(port, "zaya_kv_pages", 0));
}

TEST(Http, SlowHeadsAreGivenUp) {
  ServerProcess own({"--header-timeout", "1"});
  Connection c(own.port());
  c.send("GET /health HT");
  // A byte now and then does not help.
  int left = 600;
  while (left > 0 && !c.closed(0.1)) {
    c.send("X");
    --left;
  }
  EXPECT_GT(left, 0);
  expect_alive(own.port());
}

TEST(Http, BoundsItsQueue) {
  ServerProcess own({"--max-num-seqs", "1", "--max-queue", "1"});
  Connection running(own.port());
  running.send(post_text("/v1/completions", long_stream(1).dump()));
  ASSERT_TRUE(running.read_until("data: "));
  Connection waiting(own.port());
  waiting.send(post_text("/v1/completions", long_stream(1).dump()));
  ASSERT_TRUE(waiting.read_until("200 OK"));
  const HttpAnswer refused = post(own.port(), "/v1/completions", {{"prompt", "a"}});
  EXPECT_EQ(refused.status, 429);
  EXPECT_TRUE(refused.has("\r\nretry-after: ")) << refused.head;
  EXPECT_EQ(refused.json().at("error").at("type"), "rate_limit_error");
  // One that leaves while it waits makes room.
  waiting.close();
  EXPECT_TRUE(metric_becomes(own.port(), "zaya_outputs_total{reason=\"cancelled\"}", 1));
  Connection next(own.port());
  next.send(post_text("/v1/completions", long_stream(1).dump()));
  EXPECT_TRUE(next.read_until("200 OK"));
  running.close();
  EXPECT_TRUE(next.read_until("data: "));
}

TEST(Http, WantsKeys) {
  const std::string file = demo_model() + ".keys";
  write_file(file, "# ours\nfrom-file\r\n\n");
  ServerProcess own({"--api-key", "first", "--api-key", "second", "--api-key-file", file});
  const auto port = own.port();
  EXPECT_EQ(get(port, "/health").status, 200);
  const HttpAnswer refused = get(port, "/v1/models");
  EXPECT_EQ(refused.status, 401);
  EXPECT_TRUE(refused.has("www-authenticate: bearer"));
  EXPECT_EQ(refused.json().at("error").at("code"), "invalid_api_key");
  EXPECT_EQ(get(port, "/v1/models", "Authorization: Bearer firs\r\n").status, 401);
  EXPECT_EQ(get(port, "/v1/models", "Authorization: Bearer \r\n").status, 401);
  EXPECT_EQ(get(port, "/nowhere").status, 401);
  for (const char* field : {"Authorization: Bearer first\r\n", "authorization: bearer second\r\n",
                            "x-api-key: from-file\r\n"}) {
    EXPECT_EQ(get(port, "/v1/models", field).status, 200) << field;
  }
  EXPECT_EQ(own.log().find("second"), std::string::npos);
}

TEST(Http, AllowsOtherOriginsOnlyWhenTold) {
  const char* preflight =
      "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: t\r\nOrigin: https://a.example\r\n"
      "Access-Control-Request-Headers: authorization,content-type\r\n\r\n";
  Connection plain(server().port());
  plain.send(preflight);
  EXPECT_EQ(plain.receive().status, 405);
  ServerProcess own({"--cors-origin", "https://a.example"});
  Connection c(own.port());
  c.send(preflight);
  const HttpAnswer answer = c.receive();
  EXPECT_EQ(answer.status, 204);
  EXPECT_TRUE(answer.has("access-control-allow-origin: https://a.example"));
  EXPECT_TRUE(answer.has("access-control-allow-headers: authorization,content-type"));
  EXPECT_FALSE(get(own.port(), "/health", "Origin: https://b.example\r\n")
                   .has("access-control-allow-origin"));
  EXPECT_TRUE(get(own.port(), "/health", "Origin: https://a.example\r\n")
                  .has("access-control-allow-origin: https://a.example"));
}

TEST(Http, DrainsOnSigterm) {
  ServerProcess own;
  Connection stream(own.port());
  Json body = long_stream();
  body["max_tokens"] = 300;
  stream.send(post_text("/v1/completions", body.dump()));
  ASSERT_TRUE(stream.read_until("data: "));
  Connection idle(own.port());
  own.signal(SIGTERM);
  EXPECT_TRUE(idle.closed());
  EXPECT_THROW(Connection{own.port()}, std::runtime_error) << "nobody listens any more";
  const HttpAnswer answer = stream.receive();
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.events().back(), "[DONE]");
  EXPECT_TRUE(stream.closed());
  EXPECT_EQ(own.wait(), 0);
}

TEST(Http, ASecondSignalEndsAtOnce) {
  ServerProcess own;
  Connection stream(own.port());
  stream.send(post_text("/v1/completions", long_stream().dump()));
  ASSERT_TRUE(stream.read_until("data: "));
  own.signal(SIGTERM);
  own.signal(SIGINT);
  EXPECT_EQ(own.wait(), 0);
  EXPECT_FALSE(stream.receive().complete);
}

TEST(Http, DrainingHasAnEnd) {
  ServerProcess own({"--drain-timeout", "0.2"});
  Connection stream(own.port());
  stream.send(post_text("/v1/completions", long_stream().dump()));
  ASSERT_TRUE(stream.read_until("data: "));
  own.signal(SIGTERM);
  EXPECT_EQ(own.wait(), 0);
}

TEST(Http, TakesTheModelCardsCommandLine) {
  ServerProcess own({"--mamba-cache-dtype", "float32", "--dtype", "bfloat16", "--reasoning-parser",
                     "qwen3", "--enable-auto-tool-choice", "--tool-call-parser", "zaya_xml"});
  expect_alive(own.port());
  const std::string& model = demo_model();
  expect_failure(run({"serve", model, "--mamba-cache-dtype", "float16"}), 2, "mamba-cache-dtype");
  expect_failure(run({"serve", model, "--dtype", "float16"}), 2, "--dtype");
  expect_failure(run({"serve", model, "--tool-call-parser", "hermes"}), 2, "tool-call-parser");
  expect_failure(run({"serve", model, "--tls-key", "x"}), 2, "--tls-cert");
  expect_failure(run({"serve", model, "--tensor-parallel-size", "2"}), 2, "tensor-parallel-size");
  const std::string port = std::to_string(own.port());
  const RunResult taken = run({"serve", model, "--port", port});
  EXPECT_EQ(taken.exit_code, 1);
  EXPECT_TRUE(contains(taken.err, "127.0.0.1:" + port + ": cannot listen")) << taken.err;
  const RunResult missing = run({"serve", model + "-none", "--port", "0"});
  EXPECT_EQ(missing.exit_code, 1) << missing.err;
  const RunResult context = run({"serve", model, "--port", "0", "--max-model-len", "5000"});
  EXPECT_EQ(context.exit_code, 1);
  EXPECT_TRUE(contains(context.err, "2 to 4096 tokens")) << context.err;
}

TEST(Http, SpeaksTls) {
  const std::string key = demo_model() + ".key";
  const std::string certificate = demo_model() + ".pem";
  ASSERT_EQ(std::system(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                         "-days 2 -subj /CN=localhost -keyout '" +
                         key + "' -out '" + certificate + "' 2>/dev/null")
                            .c_str()),
            0);
  ServerProcess own({"--tls-cert", certificate, "--tls-key", key});
  const std::string address = "127.0.0.1:" + std::to_string(own.port());
  const std::string out = demo_model() + ".tls";
  // Its exit code tells of a connection that ends without TLS's own farewell.
  EXPECT_NE(std::system(("printf 'GET /health HTTP/1.0\\r\\n\\r\\n' | openssl s_client -quiet "
                         "-verify_return_error -CAfile '" +
                         certificate + "' -connect " + address + " >'" + out + "' 2>/dev/null")
                            .c_str()),
            -1);
  EXPECT_TRUE(contains(read_file(out), R"({"status":"ok"})")) << read_file(out);
  // Who speaks plain HTTP to it gets nothing, and harms nobody.
  Connection plain(own.port());
  plain.send(get_text("/health"));
  EXPECT_EQ(plain.receive(10).status, 0);
  expect_failure(run({"serve", demo_model(), "--port", "0", "--ssl-certfile", key, "--ssl-keyfile",
                      certificate}),
                 1, "not usable as a TLS certificate");
}

TEST(Http, LogsRequestsWithoutTheirText) {
  ServerProcess own;
  Json body = kShort;
  body["messages"][0]["content"] = "a secret prompt";
  post(own.port(), "/v1/chat/completions", body);
  get(own.port(), "/a%0aforged%20line");
  own.signal(SIGTERM);
  EXPECT_EQ(own.wait(), 0);
  const std::string log = own.log();
  EXPECT_TRUE(contains(log, "POST /v1/chat/completions 200 ")) << log;
  EXPECT_TRUE(contains(log, "GET /a?forged line 404 ")) << log;
  EXPECT_FALSE(contains(log, "secret")) << log;

  ServerProcess open({"--log-prompts", "--draft-tokens", "4"});
  body["messages"][0]["content"] = "no secret\x1b any more";
  post(open.port(), "/v1/chat/completions", body);
  open.signal(SIGTERM);
  EXPECT_EQ(open.wait(), 0);
  EXPECT_TRUE(contains(open.log(), "no secret"));
}

}  // namespace
}  // namespace zaya
