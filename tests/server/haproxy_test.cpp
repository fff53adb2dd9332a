// deploy/haproxy.cfg over two servers: what belongs together goes to one of them, and what one of
// them takes with it when it is killed.
#include <atomic>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/server/server_process.h"

namespace zaya {
namespace {

constexpr const char* kHaproxy = "/usr/sbin/haproxy";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

/// A port that nobody listens at just now.
std::uint16_t free_port() {
  const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ::sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ::socklen_t length = sizeof address;
  EXPECT_EQ(::bind(s, reinterpret_cast<::sockaddr*>(&address), length), 0);
  ::getsockname(s, reinterpret_cast<::sockaddr*>(&address), &length);
  ::close(s);
  return ntohs(address.sin_port);
}

/// HAProxy with our configuration, over servers at these ports.
class Balancer {
 public:
  Balancer(std::uint16_t one, std::uint16_t two) : port_(free_port()) {
    std::string text = read_file(ZAYA_SOURCE_DIR "/deploy/haproxy.cfg");
    text = replaced(text, ":8080", ":" + std::to_string(port_));
    text = replaced(text, ":8011", ":" + std::to_string(one));
    text = replaced(text, ":8012", ":" + std::to_string(two));
    const std::string file = demo_model() + ".haproxy";
    write_file(file, text);
    id_ = ::fork();
    if (id_ == 0) {
      ::execl(kHaproxy, kHaproxy, "-q", "-db", "-f", file.c_str(), nullptr);
      ::_exit(127);
    }
  }
  Balancer(const Balancer&) = delete;
  Balancer& operator=(const Balancer&) = delete;
  ~Balancer() {
    ::kill(id_, SIGKILL);
    ::waitpid(id_, nullptr, 0);
  }

  std::uint16_t port() const { return port_; }

  /// Waits until requests come through.
  bool ready() const {
    for (int i = 0; i < 600; ++i) {
      try {
        if (get(port_, "/health").status == 200) return true;
      } catch (const std::runtime_error&) {  // nobody listens yet
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }

 private:
  ::pid_t id_ = -1;
  std::uint16_t port_;
};

Json completion(const std::string& prompt, int tokens) {
  return {{"prompt", prompt}, {"max_tokens", tokens}, {"ignore_eos", true}};
}

double prompts_of(const ServerProcess& server) {
  return metric(server.port(), "zaya_queue_seconds_count");
}

class HaproxyTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kHaproxy)) GTEST_SKIP() << "there is no " << kHaproxy;
  }
};

TEST_F(HaproxyTest, KeepsTogetherWhatBeginsAlike) {
  const ServerProcess one;
  const ServerProcess two;
  const Balancer balancer(one.port(), two.port());
  ASSERT_TRUE(balancer.ready());
  int used_both = 0;
  for (int i = 0; i < 12; ++i) {
    const std::string beginning = "Conversation " + std::to_string(i) + std::string(300, 'a' + i);
    const double first = prompts_of(one);
    const double second = prompts_of(two);
    for (int turn = 0; turn < 3; ++turn) {
      const Json body = completion(beginning + std::string(turn, '!'), 2);
      EXPECT_EQ(post(balancer.port(), "/v1/completions", body).status, 200);
    }
    // All of them went to one.
    const double to_one = prompts_of(one) - first;
    EXPECT_TRUE(to_one == 3 || to_one == 0) << to_one;
    EXPECT_EQ(prompts_of(two) - second, 3 - to_one);
    used_both |= to_one == 3 ? 1 : 2;
  }
  EXPECT_EQ(used_both, 3);
}

TEST_F(HaproxyTest, AKilledServerTakesOnlyItsOwnStreams) {
  std::optional<ServerProcess> one(std::in_place);
  const ServerProcess two;
  const Balancer balancer(one->port(), two.port());
  ASSERT_TRUE(balancer.ready());
  constexpr int kCallers = 8;
  std::atomic<int> answered = 0;
  std::atomic<bool> stop = false;
  std::vector<std::thread> callers;
  std::atomic<int> lost = 0;
  callers.reserve(kCallers);
  for (int c = 0; c < kCallers; ++c) {
    callers.emplace_back([&, c] {
      for (int i = 0; !stop; ++i) {
        const std::string prompt = std::to_string(c) + " asks " + std::to_string(i);
        const HttpAnswer answer = post(balancer.port(), "/v1/completions", completion(prompt, 100));
        if (answer.status != 200 || !answer.complete) ++lost;
        ++answered;
      }
    });
  }
  // Streams on both, which last.
  std::vector<Connection> streams;
  for (int i = 0; i < 6; ++i) {
    Json body = completion("stream " + std::to_string(i), 1500);
    body["stream"] = true;
    streams.emplace_back(balancer.port());
    streams.back().send(post_text("/v1/completions", body.dump()));
    EXPECT_TRUE(streams.back().read_until("data: "));
  }
  const auto more = [&](int answers) {
    for (const int until = answered + answers; answered < until;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  };
  more(2 * kCallers);
  one->signal(SIGKILL);
  more(10 * kCallers);
  stop = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(lost, 0) << "of " << answered;
  int whole = 0;
  for (Connection& stream : streams) {
    const HttpAnswer answer = stream.receive();
    if (answer.complete) {
      ++whole;
      EXPECT_EQ(answer.events().back(), "[DONE]");
    }
  }
  EXPECT_GT(whole, 0) << "those of the other server go on";
  EXPECT_EQ(post(balancer.port(), "/v1/completions", completion("after", 2)).status, 200);
  EXPECT_TRUE(metric_becomes(two.port(), "zaya_outputs_running", 0));
}

TEST_F(HaproxyTest, AServerThatDrainsLosesNothing) {
  ServerProcess one;
  const ServerProcess two;
  const Balancer balancer(one.port(), two.port());
  ASSERT_TRUE(balancer.ready());
  std::vector<Connection> streams;
  for (int i = 0; i < 6; ++i) {
    Json body = completion("stream " + std::to_string(i), 300);
    body["stream"] = true;
    streams.emplace_back(balancer.port());
    streams.back().send(post_text("/v1/completions", body.dump()));
    EXPECT_TRUE(streams.back().read_until("data: "));
  }
  one.signal(SIGTERM);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(
        post(balancer.port(), "/v1/completions", completion("new " + std::to_string(i), 2)).status,
        200);
  }
  for (Connection& stream : streams) {
    const HttpAnswer answer = stream.receive();
    EXPECT_TRUE(answer.complete);
    EXPECT_EQ(answer.events().back(), "[DONE]");
  }
  EXPECT_EQ(one.wait(), 0);
}

}  // namespace
}  // namespace zaya
