// The engine's own thread: requests from many threads, and an end in the middle of the work.
#include "zaya/engine.h"

#include <atomic>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/checkpoint/adapter_files.h"
#include "zaya/error.h"

namespace zaya {
namespace {

std::unique_ptr<Engine> make_engine() {
  return std::make_unique<Engine>(
      std::string(ZAYA_TEST_DATA) + "/goldens/native",
      Engine::Options{.runner = {.compute = Compute::f32, .threads = 1, .deterministic = true}});
}

TEST(Engine, ServesRequestsOfManyThreads) {
  const auto engine = make_engine();
  EXPECT_GE(engine->kv_memory(), std::size_t{256} << 20);
  std::vector<std::thread> clients;
  std::vector<std::vector<TokenId>> outputs(8);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    clients.emplace_back([&, i] {
      for (int round = 0; round < 5; ++round) {
        std::promise<void> done;
        outputs[i].clear();
        Request request{.prompt = {5, static_cast<TokenId>(10 + i % 4), 7},
                        .params = {.temperature = 0, .max_tokens = 6}};
        request.on_event = [&](const RequestEvent& event) {
          if (event.token) outputs[i].push_back(event.token->token);
          if (event.finish) done.set_value();
        };
        engine->submit(std::move(request));
        done.get_future().wait();
      }
    });
  }
  for (std::thread& client : clients) client.join();
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_FALSE(outputs[i].empty());
    EXPECT_EQ(outputs[i], outputs[i + 4]) << "the same prompt, the same output";
  }
}

/// The output of a request, alone or beside others.
std::vector<TokenId> output_of(Engine& engine, const std::string& adapter) {
  std::vector<TokenId> tokens;
  std::promise<void> done;
  Request request{.prompt = {5, 11, 7},
                  .params = {.temperature = 0, .max_tokens = 8, .ignore_eos = true},
                  .adapter = adapter};
  request.on_event = [&](const RequestEvent& event) {
    if (event.token) tokens.push_back(event.token->token);
    if (event.finish) done.set_value();
  };
  engine.submit(std::move(request));
  done.get_future().wait();
  return tokens;
}

TEST(Engine, AdaptersComeAndGoWhileRequestsRun) {
  const auto engine = make_engine();
  const auto folder = std::filesystem::path(testing::TempDir()) / "zaya-engine-adapter";
  AdapterFiles files;
  files.config["target_modules"] = nullptr;
  files.add_layer(engine->config(), Layout::native, 0, {Projection::q, Projection::o}, 1);
  files.write(folder);
  const std::vector<TokenId> base = output_of(*engine, "");
  engine->load_adapter("kept", folder.string());
  const std::vector<TokenId> adapted = output_of(*engine, "kept");
  EXPECT_NE(adapted, base);
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&, name = "n" + std::to_string(i)] {
      for (int round = 0; round < 5; ++round) {
        engine->load_adapter(name, folder.string());
        EXPECT_EQ(output_of(*engine, name), adapted);
        EXPECT_EQ(output_of(*engine, ""), base);
        engine->unload_adapter(name);
        EXPECT_EQ(output_of(*engine, "kept"), adapted);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  ASSERT_EQ(engine->adapters().size(), 1U);
  EXPECT_EQ(engine->adapters()[0].name, "kept");
  EXPECT_THROW(engine->submit({.prompt = {5}, .params = {}, .adapter = "n0"}), Error);
  EXPECT_THROW(engine->load_adapter("more", (folder / "none").string()), Error);
  std::filesystem::remove_all(folder);
}

TEST(Engine, EndingGivesEveryRequestItsLastEvent) {
  std::atomic<int> ended = 0;
  std::atomic<int> tokens = 0;
  {
    const auto engine = make_engine();
    for (int i = 0; i < 20; ++i) {
      Request request{.prompt = {5, 6, 7}, .params = {.max_tokens = 4000, .ignore_eos = true}};
      request.on_event = [&](const RequestEvent& event) {
        if (event.token) ++tokens;
        if (event.finish) {
          EXPECT_EQ(event.finish, FinishReason::cancelled);
          ++ended;
        }
      };
      engine->submit(std::move(request));
    }
    while (tokens == 0) std::this_thread::yield();
  }
  EXPECT_EQ(ended, 20);
}

TEST(Engine, CancelledRequestsEndSoon) {
  const auto engine = make_engine();
  std::promise<FinishReason> finished;
  Request request{.prompt = {5, 6, 7}, .params = {.max_tokens = 4000, .ignore_eos = true}};
  request.on_event = [&](const RequestEvent& event) {
    if (event.finish) finished.set_value(*event.finish);
  };
  const RequestId id = engine->submit(std::move(request));
  engine->cancel(id);
  EXPECT_EQ(finished.get_future().get(), FinishReason::cancelled);
}

}  // namespace
}  // namespace zaya
