// What HTTP costs on top of the engine:
//   server_bench MODEL [STREAMS] [TOKENS] [ROUNDS]
// STREAMS (32) outputs of TOKENS (32) tokens side by side, given to the engine by a function call,
// and streamed over HTTP to as many connections; then the time to the first token of one request
// each way. Both ways take turns, ROUNDS (7) times, over one engine. The client is part of this
// process, so its work counts as the server's. Random prompts of 32 tokens, greedy.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/random.h"
#include "base/timing.h"
#include "server/http.h"
#include "server/service.h"
#include "text/chat.h"
#include "zaya/engine.h"

namespace zaya {
namespace {

using Clock = std::chrono::steady_clock;

/// Processor time of all threads of this process.
double busy_seconds() {
  std::timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

struct Taken {
  double seconds = 0;
  double busy = 0;
  double first_token = 0;  ///< of the first stream that had one
};

/// A kept-open connection that counts the events of the streams that come over it.
class Client {
 public:
  explicit Client(unsigned short port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
      throw std::runtime_error("cannot connect to the server");
    }
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { ::close(socket_); }

  int socket() const { return socket_; }

  void ask(const std::vector<TokenId>& prompt, std::size_t tokens) {
    const std::string body = fmt::format(
        R"({{"prompt":[{}],"max_tokens":{},"temperature":0,"ignore_eos":true,"stream":true}})",
        fmt::join(prompt, ","), tokens);
    const std::string text = fmt::format(
        "POST /v1/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        "Content-Length: {}\r\n\r\n{}",
        body.size(), body);
    if (::send(socket_, text.data(), text.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(text.size())) {
      throw std::runtime_error("the server does not take a request");
    }
    tail_.clear();
    done_ = first_ = false;
  }

  /// Takes what has come.
  void receive() {
    char buffer[65536];
    const auto n = ::recv(socket_, buffer, sizeof buffer, 0);
    if (n <= 0) throw std::runtime_error("the server closed a connection");
    tail_.append(buffer, static_cast<std::size_t>(n));
    if (tail_.find("data: {") != std::string::npos) first_ = true;
    if (!tail_.starts_with("HTTP/1.1 200") && !answered_) {
      throw std::runtime_error("the server refused: " + tail_);
    }
    answered_ = true;
    done_ = tail_.ends_with("0\r\n\r\n") && tail_.find("data: [DONE]") != std::string::npos;
    if (done_) {
      answered_ = false;
    } else if (tail_.size() > 256) {
      tail_.erase(0, tail_.size() - 256);
    }
  }

  bool first() const { return first_; }
  bool done() const { return done_; }

 private:
  int socket_;
  std::string tail_;
  bool answered_ = false;
  bool first_ = false;
  bool done_ = false;
};

class Bench {
 public:
  Bench(Engine& engine, unsigned short port, std::size_t streams) : engine_(engine) {
    for (std::size_t i = 0; i < streams; ++i) clients_.push_back(std::make_unique<Client>(port));
  }

  Taken direct(std::size_t streams, std::size_t tokens) {
    const auto prompts = draw(streams);
    std::mutex lock;
    std::condition_variable ended;
    std::size_t left = streams;
    Taken taken;
    const double busy = busy_seconds();
    const auto start = Clock::now();
    for (const auto& prompt : prompts) {
      engine_.submit({.prompt = prompt,
                      .params = {.temperature = 0, .max_tokens = tokens, .ignore_eos = true},
                      .on_event = [&](const RequestEvent& event) {
                        const std::lock_guard guard(lock);
                        if (event.token && taken.first_token == 0) {
                          taken.first_token = seconds_since(start);
                        }
                        if (event.finish && --left == 0) ended.notify_one();
                      }});
    }
    std::unique_lock guard(lock);
    ended.wait(guard, [&] { return left == 0; });
    taken.seconds = seconds_since(start);
    taken.busy = busy_seconds() - busy;
    return taken;
  }

  Taken over_http(std::size_t streams, std::size_t tokens) {
    const auto prompts = draw(streams);
    Taken taken;
    const double busy = busy_seconds();
    const auto start = Clock::now();
    std::vector<pollfd> waiting;
    for (std::size_t i = 0; i < streams; ++i) {
      clients_[i]->ask(prompts[i], tokens);
      waiting.push_back({clients_[i]->socket(), POLLIN, 0});
    }
    for (std::size_t left = streams; left != 0;) {
      ::poll(waiting.data(), waiting.size(), -1);
      for (std::size_t i = 0; i < streams; ++i) {
        if (waiting[i].revents == 0) continue;
        clients_[i]->receive();
        if (clients_[i]->first() && taken.first_token == 0) {
          taken.first_token = seconds_since(start);
        }
        if (clients_[i]->done()) {
          waiting[i].fd = -1;  // poll passes it over
          waiting[i].revents = 0;
          --left;
        }
      }
    }
    taken.seconds = seconds_since(start);
    taken.busy = busy_seconds() - busy;
    return taken;
  }

 private:
  std::vector<std::vector<TokenId>> draw(std::size_t count) {
    std::vector<std::vector<TokenId>> prompts(count, std::vector<TokenId>(32));
    const std::size_t vocab = std::min<std::size_t>(engine_.text().vocab, 200000);
    for (auto& prompt : prompts) {
      for (TokenId& t : prompt) t = static_cast<TokenId>(random_.next() % vocab);
    }
    return prompts;
  }

  Engine& engine_;
  Random random_{1};
  std::vector<std::unique_ptr<Client>> clients_;
};

void measure(Bench& bench, std::size_t streams, std::size_t tokens, std::size_t rounds) {
  struct Way {
    std::vector<double> speed;
    std::vector<double> busy;   // milliseconds a token
    std::vector<double> first;  // milliseconds
  } ways[2];
  std::vector<double> ratios;
  const auto run = [&](int way, std::size_t n, std::size_t m) {
    return way == 0 ? bench.direct(n, m) : bench.over_http(n, m);
  };
  for (const int way : {0, 1}) run(way, streams, 4);  // untimed
  for (std::size_t round = 0; round < rounds; ++round) {
    double speed[2];
    for (const int turn : {0, 1}) {
      const int way = (static_cast<int>(round) + turn) % 2;
      const Taken taken = run(way, streams, tokens);
      const auto total = static_cast<double>(streams * tokens);
      speed[way] = total / taken.seconds;
      ways[way].speed.push_back(speed[way]);
      ways[way].busy.push_back(1e3 * taken.busy / total);
      for (int i = 0; i < 3; ++i) ways[way].first.push_back(1e3 * run(way, 1, 2).first_token);
    }
    ratios.push_back(speed[1] / speed[0]);
    std::fprintf(stderr, "round %zu: engine %.1f, HTTP %.1f tokens/s\n", round + 1, speed[0],
                 speed[1]);
  }
  fmt::print("{} streams of {} tokens, median of {} rounds\n\n", streams, tokens, rounds);
  fmt::print("{:8s} {:>9s} {:>24s} {:>20s}\n", "", "tokens/s", "processor ms a token",
             "first token, ms");
  for (const int way : {0, 1}) {
    fmt::print("{:8s} {:9.1f} {:24.3f} {:20.1f}\n", way == 0 ? "engine" : "HTTP",
               median(ways[way].speed), median(ways[way].busy), median(ways[way].first));
  }
  fmt::print(
      "\nHTTP / engine: {:.3f} of the speed (median of the rounds' own ratios), "
      "{:+.1f} ms to the first token\n",
      median(ratios), median(ways[1].first) - median(ways[0].first));
}

int run(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: server_bench MODEL [STREAMS] [TOKENS] [ROUNDS]\n");
    return 2;
  }
  const auto number = [&](int i, std::size_t otherwise) {
    return argc > i ? static_cast<std::size_t>(std::atol(argv[i])) : otherwise;
  };
  const std::size_t streams = number(2, 32);
  HttpServer server({});
  const ChatTemplate chat = ChatTemplate::load(argv[1]);
  Engine engine(argv[1], {.runner = {.screen_head = true}, .scheduler = {.cached_sequences = 0}});
  Service service(engine, chat, server, {.model_names = {"bench"}, .most_running = streams}, {});
  std::thread serving([&] { server.run(service); });
  {
    Bench bench(engine, server.port(), streams);
    measure(bench, streams, number(3, 32), number(4, 7));
  }
  ::raise(SIGTERM);
  serving.join();
  return 0;
}

}  // namespace
}  // namespace zaya

int main(int argc, char** argv) {
  try {
    return zaya::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "server_bench: %s\n", error.what());
    return 1;
  }
}
