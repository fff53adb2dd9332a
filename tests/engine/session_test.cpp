// Sessions: a state that was saved and restored goes on, to the bit, as it would have without.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "base/random.h"
#include "checkpoint/identity.h"
#include "engine/model_text.h"
#include "engine/runner.h"
#include "engine/scheduler.h"
#include "zaya/engine.h"
#include "zaya/error.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

fs::path golden(const std::string& name) {
  return fs::path(ZAYA_TEST_DATA) / "goldens" / name;
}

std::shared_ptr<const Checkpoint> open(const std::string& name) {
  return std::make_shared<const Checkpoint>(Checkpoint::open(golden(name)));
}

std::vector<TokenId> tokens_of(std::uint64_t seed, std::size_t count) {
  Random random(seed);
  std::vector<TokenId> out(count);
  for (TokenId& t : out) t = static_cast<TokenId>(3 + random.next() % 300);
  return out;
}

std::vector<float> feed(Runner& runner, Sequence& sequence, const std::vector<TokenId>& tokens) {
  const auto logits = runner.feed(sequence, tokens);
  return {logits.begin(), logits.end()};
}

void expect_same(const std::vector<float>& a, const std::vector<float>& b, const char* what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << what;
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

struct Folder {
  fs::path path = fs::temp_directory_path() / ("zaya-sessions-" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { fs::remove_all(path); }
};

struct Numerics {
  std::string model;
  Compute compute;
};

class Sessions : public testing::TestWithParam<Numerics> {};

INSTANTIATE_TEST_SUITE_P(Numerics, Sessions,
                         testing::Values(Numerics{"native", Compute::f32},
                                         Numerics{"native-sliding", Compute::f32},
                                         Numerics{"native-bf16", Compute::fast}),
                         [](const auto& param) {
                           std::string name = param.param.model;
                           std::erase(name, '-');
                           return name;
                         });

TEST_P(Sessions, GoOnToTheBit) {
  const auto checkpoint = open(GetParam().model);
  const RunnerOptions options{.compute = GetParam().compute, .threads = 1, .deterministic = true};
  Runner before(checkpoint, options);
  Runner after(open(GetParam().model), options);  // as another process would
  const Folder folder;
  const fs::path file = folder.path / "s";
  const auto next = tokens_of(9, 40);
  for (const std::size_t length : {1, 2, 31, 32, 33, 150}) {
    SCOPED_TRACE(length);
    Sequence was = before.new_sequence();
    feed(before, was, tokens_of(1, length));
    before.save_session(was, file);
    const Sequence is = after.load_session(file);
    ASSERT_EQ(is.tokens(), was.tokens());

    // Two forks of what was restored, each on its own way.
    for (const std::uint64_t way : {9, 10}) {
      Sequence a = was.fork();
      Sequence b = is.fork();
      expect_same(feed(before, a, tokens_of(way, 40)), feed(after, b, tokens_of(way, 40)), "go on");
    }
    Sequence a = was.fork();
    Sequence b = is.fork();
    before.rollback(a, std::min<std::size_t>(length / 3, 20));
    after.rollback(b, std::min<std::size_t>(length / 3, 20));
    expect_same(feed(before, a, next), feed(after, b, next), "roll back and go on");

    // A state that was rolled back, restored and read again is a state like any other.
    before.save_session(a, file);
    b = after.load_session(file);
    EXPECT_EQ(b.tokens(), a.tokens());
    expect_same(feed(before, a, next), feed(after, b, next), "saved after a roll-back");
  }
}

TEST(SessionOwners, AreCheckpointAndNumerics) {
  const Folder folder;
  Runner runner(open("native"), {.compute = Compute::f32, .threads = 1});
  Sequence sequence = runner.new_sequence();
  feed(runner, sequence, {5, 6, 7});
  const fs::path file = folder.path / "s";
  runner.save_session(sequence, file);
  Runner sliding(open("native-sliding"), {.compute = Compute::f32, .threads = 1});
  const std::string foreign = error_of([&] { sliding.load_session(file); });
  EXPECT_NE(foreign.find(file.string() +
                         ": the session was saved with another checkpoint: "
                         "expected " +
                         checkpoint_identity(*open("native-sliding")) + ", found"),
            std::string::npos)
      << foreign;
  Runner fast(open("native"), {.compute = Compute::fast, .threads = 1});
  EXPECT_NE(error_of([&] { fast.load_session(file); }).find("another compute: expected fast"),
            std::string::npos);
  EXPECT_NE(error_of([&] {
              fast.load_session(golden("native") / "model.safetensors");
            }).find("no session"),
            std::string::npos);
  EXPECT_NE(error_of([&] { fast.load_session(folder.path / "none"); }).find("none"),
            std::string::npos);
}

TEST(CheckpointIdentity, SeesContentAndConfigButNotTheFile) {
  const std::string native = checkpoint_identity(*open("native"));
  EXPECT_EQ(native, checkpoint_identity(*open("native")));
  EXPECT_EQ(native.size(), 32U);
  EXPECT_NE(native, checkpoint_identity(*open("native-sliding")));
  EXPECT_NE(native, checkpoint_identity(*open("native-bf16")));
  EXPECT_NE(native, checkpoint_identity(*open("legacy")));

  // A single value in the middle of a tensor.
  const Folder copy;
  fs::copy(golden("native"), copy.path, fs::copy_options::recursive);
  EXPECT_EQ(checkpoint_identity(Checkpoint::open(copy.path)), native);
  std::string bytes = read_file(copy.path / "model.safetensors");
  const SafetensorsHeader header =
      parse_safetensors_header(std::as_bytes(std::span(bytes)), "model.safetensors");
  const TensorEntry& tensor = header.tensors[header.tensors.size() / 2];
  bytes[tensor.offset + tensor.bytes / 2] ^= 1;
  write_file(copy.path / "model.safetensors", bytes);
  EXPECT_NE(checkpoint_identity(Checkpoint::open(copy.path)), native);
}

struct Answer {
  RequestId id = 0;
  std::vector<TokenId> tokens;
  RequestStats stats;
};

Answer ask(Engine& engine, Request request) {
  Answer answer;
  std::promise<void> done;
  request.on_event = [&](const RequestEvent& event) {
    if (event.token) answer.tokens.push_back(event.token->token);
    if (!event.finish) return;
    answer.stats = event.stats;
    done.set_value();
  };
  answer.id = engine.submit(std::move(request));
  done.get_future().wait();
  return answer;
}

TEST(EngineSessions, TheNextProcessFindsThePromptComputed) {
  const Folder folder;
  const std::string file = folder.path / "s";
  const Engine::Options options{
      .runner = {.compute = Compute::f32, .threads = 1, .deterministic = true}};
  const SamplingParams params{.temperature = 0, .max_tokens = 8, .ignore_eos = true};
  const auto prompt = tokens_of(1, 100);
  std::vector<TokenId> longer = prompt;
  Answer alone;
  {
    Engine engine(golden("native"), options);
    const Answer first = ask(engine, {.prompt = prompt, .params = params});
    engine.save_session({first.id, 0}, file);
    longer.insert(longer.end(), first.tokens.begin(), first.tokens.end());
    EXPECT_NE(error_of([&] {
                engine.save_session({first.id, 1}, file);
              }).find("choice 1 of"),
              std::string::npos);
    EXPECT_NE(error_of([&] {
                engine.save_session({77, 0}, file);
              }).find("request 77"),
              std::string::npos);
  }
  {
    Engine engine(golden("native"), options);
    alone = ask(engine, {.prompt = longer, .params = params});
    EXPECT_EQ(alone.stats.cached_tokens, 0U);
  }
  Engine engine(golden("native"), options);
  EXPECT_EQ(engine.load_session(file), longer);
  longer.push_back(5);
  const Answer restored = ask(engine, {.prompt = longer, .params = params});
  EXPECT_EQ(restored.stats.cached_tokens, longer.size() - 1);
  longer.pop_back();
  EXPECT_EQ(ask(engine, {.prompt = longer, .params = params}).tokens, alone.tokens);
  EXPECT_NE(error_of([&] { engine.load_session(file + "x"); }).find(file + "x"), std::string::npos);

  // From within an event the engine's thread would wait for itself.
  std::string problem;
  Request request{.prompt = prompt, .params = params};
  std::promise<void> done;
  request.on_event = [&](const RequestEvent& event) {
    if (!event.finish) return;
    problem = error_of([&] { engine.load_session(file); });
    done.set_value();
  };
  engine.submit(std::move(request));
  done.get_future().wait();
  EXPECT_NE(problem.find("from within an event"), std::string::npos) << problem;
}

TEST(SchedulerSessions, MakeRoomInTheCacheOrAreRefused) {
  const Folder folder;
  const fs::path file = folder.path / "s";
  const auto checkpoint = open("native");
  const auto text =
      std::make_shared<const ModelText>(load_model_text(golden("native"), checkpoint->config()));
  const auto options = [&](std::size_t pages) {
    RunnerOptions o{.compute = Compute::f32, .threads = 1};
    const Runner any(checkpoint, o);
    o.kv_memory = pages * any.model().layout().page_bytes();
    return o;
  };
  const auto run = [&](Scheduler& scheduler, const std::vector<TokenId>& prompt) {
    const RequestId id = scheduler.submit(
        {.prompt = prompt, .params = {.temperature = 0, .max_tokens = 2, .ignore_eos = true}});
    while (scheduler.step()) {
    }
    return id;
  };
  Runner runner(checkpoint, options(4));
  Scheduler scheduler(runner, text);
  const RequestId id = run(scheduler, tokens_of(1, 90));
  scheduler.save_session({id, 0}, file);
  run(scheduler, tokens_of(2, 90));
  EXPECT_GE(runner.pages().bytes_in_use(), 3 * runner.model().layout().page_bytes());
  EXPECT_EQ(scheduler.load_session(file).size(), 92U) << "in place of what was cached";

  Runner small(checkpoint, options(2));
  Scheduler refuses(small, text);
  EXPECT_NE(error_of([&] { refuses.load_session(file); }).find("no room"), std::string::npos);
  EXPECT_EQ(small.pages().pages_in_use(), 0U);
}

}  // namespace
}  // namespace zaya
