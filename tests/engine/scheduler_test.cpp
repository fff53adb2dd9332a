// Many requests over one model: whatever runs beside a request, is cached, cancelled or preempted,
// its output is the one it has alone.
#include "engine/scheduler.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/random.h"
#include "tests/checkpoint/adapter_files.h"
#include "zaya/error.h"

namespace zaya {
namespace {

constexpr std::size_t kPage = StateLayout::kPageTokens;

struct Golden {
  std::shared_ptr<const Checkpoint> checkpoint;
  std::shared_ptr<const ModelText> text;
};

Golden golden(const std::string& name) {
  const auto folder = std::filesystem::path(ZAYA_TEST_DATA) / "goldens" / name;
  auto checkpoint = std::make_shared<const Checkpoint>(Checkpoint::open(folder));
  auto text = std::make_shared<ModelText>(load_model_text(folder, checkpoint->config()));
  return {std::move(checkpoint), std::move(text)};
}

RunnerOptions options(std::optional<std::size_t> kv_memory = {}) {
  return {.compute = Compute::f32, .threads = 1, .deterministic = true, .kv_memory = kv_memory};
}

Runner make_runner(const Golden& model, std::optional<std::size_t> kv_memory = {}) {
  return Runner(model.checkpoint, options(kv_memory));
}

/// Folders of adapters for a model: of all projections, of the layers from the third on, and of the
/// second layer's output alone.
class AdapterFolders {
 public:
  explicit AdapterFolders(const Golden& model) {
    const ModelConfig& config = model.checkpoint->config();
    const std::vector<Projection> all{Projection::q, Projection::k, Projection::v_current,
                                      Projection::v_delayed, Projection::o};
    const auto write = [&](const char* name, std::size_t first, std::size_t last,
                           const std::vector<Projection>& projections) {
      AdapterFiles files;
      files.config["target_modules"] = nullptr;
      for (std::size_t i = first; i < last; ++i) {
        files.add_layer(config, Layout::native, i, projections, 1);
      }
      files.write(path(name));
    };
    write("all", 0, config.layers, all);
    write("late", 2, config.layers, all);
    write("output", 1, 2, {Projection::o});
  }
  AdapterFolders(const AdapterFolders&) = delete;
  AdapterFolders& operator=(const AdapterFolders&) = delete;
  ~AdapterFolders() { std::filesystem::remove_all(root_); }

  std::filesystem::path path(const std::string& name) const { return root_ / name; }

 private:
  std::filesystem::path root_ =
      std::filesystem::path(testing::TempDir()) / ("zaya-adapters-" + std::to_string(::getpid()));
};

/// What the model says to a prompt when nothing else runs and nothing is drafted, to compare with.
class Alone {
 public:
  explicit Alone(const Golden& model) : model_(model), runner_(make_runner(model)) {}

  const std::vector<TokenId>& operator()(const Request& request, std::size_t choice,
                                         const std::filesystem::path& adapter = {}) {
    const Key key{request.prompt,
                  request.params.seed,
                  request.params.temperature,
                  *request.params.max_tokens,
                  choice,
                  adapter};
    const auto [it, fresh] = outputs_.try_emplace(key);
    if (!fresh) return it->second;
    SamplingParams params = request.params;
    params.draft_tokens = 0;
    Generation generation(model_.text, params, request.prompt, {.stream = choice});
    std::shared_ptr<const Adapter>& loaded = adapters_[adapter];
    if (!adapter.empty() && loaded == nullptr) {
      loaded = std::make_shared<const Adapter>(runner_.model().load_adapter(adapter));
    }
    Sequence sequence = runner_.new_sequence(loaded);
    generate(generation, feed_of(runner_, sequence, generation), request.prompt, {},
             [](const TokenEvent&) { return true; });
    return it->second = generation.tokens();
  }

 private:
  using Key = std::tuple<std::vector<TokenId>, std::uint64_t, double, std::size_t, std::size_t,
                         std::filesystem::path>;

  const Golden& model_;
  Runner runner_;
  std::map<Key, std::vector<TokenId>> outputs_;
  std::map<std::filesystem::path, std::shared_ptr<const Adapter>> adapters_;
};

/// Loads, swaps and unloads adapters beside the requests of a schedule, under two names.
class AdapterTraffic {
 public:
  AdapterTraffic(const AdapterFolders& folders, Scheduler& scheduler)
      : folders_(folders), scheduler_(scheduler) {}

  /// A name for the next request; often none.
  std::string pick(Random& random) {
    if (random.next() % 2 == 0) return "";
    const std::string name = random.next() % 2 == 0 ? "x" : "y";
    const bool loaded = folder_.contains(name);
    if (loaded && random.next() % 4 == 0) {
      scheduler_.unload_adapter(name);
      folder_.erase(name);
      EXPECT_THROW(scheduler_.submit({.prompt = {1}, .params = {}, .adapter = name}), Error);
    }
    if (!folder_.contains(name)) {
      const char* const choices[] = {"all", "late", "output"};
      folder_[name] = folders_.path(choices[random.next() % 3]);
      scheduler_.load_adapter(name, folder_[name]);
    }
    return name;
  }
  std::filesystem::path folder(const std::string& name) const {
    return name.empty() ? std::filesystem::path() : folder_.at(name);
  }

 private:
  const AdapterFolders& folders_;
  Scheduler& scheduler_;
  std::map<std::string, std::filesystem::path> folder_;
};

/// What the events of a request added up to.
struct Seen {
  std::vector<TokenId> tokens;
  std::optional<RequestEvent> last;
};

class Outputs {
 public:
  Seen& of(RequestId request, std::size_t choice = 0) { return seen_[{request, choice}]; }

 private:
  std::map<std::pair<RequestId, std::size_t>, Seen> seen_;
};

std::function<void(const RequestEvent&)> collect(Outputs& outputs) {
  return [&outputs](const RequestEvent& event) {
    Seen& seen = outputs.of(event.request, event.choice);
    ASSERT_FALSE(seen.last) << "nothing comes after the last event";
    if (event.token) seen.tokens.push_back(event.token->token);
    if (event.finish) seen.last = event;
  };
}

std::vector<TokenId> tokens_of(std::uint64_t seed, std::size_t count) {
  Random random(seed);
  std::vector<TokenId> out(count);
  for (TokenId& t : out) t = static_cast<TokenId>(3 + random.next() % 300);
  return out;
}

std::size_t page_bytes(const Runner& runner) {
  return runner.model().layout().page_bytes();
}

class Schedules : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Goldens, Schedules, testing::Values("native", "native-sliding"),
                         [](const auto& name) {
                           return name.param == "native" ? "native" : "sliding";
                         });

TEST_P(Schedules, EveryRequestGetsTheOutputItHasAlone) {
  const Golden model = golden(GetParam());
  const AdapterFolders folders(model);
  Alone alone(model);
  // 4 pages hold the longest request.
  std::vector<std::unique_ptr<Runner>> runners;
  const std::size_t bytes = page_bytes(make_runner(model));
  for (const std::size_t pages : {4, 5, 7, 12, 1000}) {
    runners.push_back(std::make_unique<Runner>(model.checkpoint, options(pages * bytes)));
  }
  std::size_t preemptions = 0;
  std::size_t cached = 0;
  std::size_t cancelled = 0;
  std::size_t drafted = 0;
  std::size_t accepted = 0;
  std::size_t children = 0;
  constexpr int kSchedules = 1000;
  for (int schedule = 0; schedule < kSchedules; ++schedule) {
    SCOPED_TRACE("schedule " + std::to_string(schedule));
    Random random(11, static_cast<std::uint64_t>(schedule));
    const auto pick = [&](std::initializer_list<std::size_t> values) {
      return values.begin()[random.next() % values.size()];
    };
    Runner& runner = *runners[random.next() % runners.size()];
    Scheduler scheduler(runner, model.text,
                        {.step_tokens = pick({1, 3, 16, 40, 512}),
                         .prompt_tokens = pick({1, 30, 2048}),
                         .max_running = pick({1, 2, 5, 64}),
                         .cached_sequences = pick({0, 1, 3, 20})});
    AdapterTraffic traffic(folders, scheduler);
    const bool adapters = schedule % 2 == 0;
    Outputs outputs;
    std::map<RequestId, Request> requests;
    std::map<RequestId, std::filesystem::path> adapter_of;
    std::map<std::size_t, RequestId> cancel_at;
    const std::size_t count = 2 + random.next() % 6;
    std::size_t steps = 0;
    for (std::size_t sent = 0; sent < count || scheduler.step(); ++steps) {
      if (sent < count && random.next() % 2 == 0) {
        // Few beginnings and few ends, so that prompts share prefixes of many lengths.
        Request request{.prompt = tokens_of(random.next() % 2, 1 + random.next() % 80)};
        const auto end = tokens_of(100 + random.next() % 3, random.next() % 12);
        request.prompt.insert(request.prompt.end(), end.begin(), end.end());
        request.params = {.temperature = random.next() % 3 == 0 ? 1.0 : 0.0,
                          .seed = random.next() % 2,
                          .max_tokens = 1 + random.next() % 12,
                          .draft_tokens = pick({0, 1, 4, 16})};
        // What it will say stands in some prompts, followed by something else.
        if (random.next() % 2 == 0) {
          const std::vector<TokenId> said = alone(request, 0);
          request.prompt.insert(request.prompt.begin(), said.begin(), said.end());
          request.prompt.resize(std::min<std::size_t>(request.prompt.size(), 92));
        }
        request.n = pick({1, 1, 1, 2, 3});
        request.priority = static_cast<int>(random.next() % 2);
        if (adapters) request.adapter = traffic.pick(random);
        request.on_event = collect(outputs);
        // Some go on from a choice that runs, waits or ended; then they are that choice's tokens
        // so far, and theirs.
        Request whole = request;
        if (!requests.empty() && random.next() % 3 == 0) {
          const auto& [parent, of] =
              *std::next(requests.begin(), static_cast<long>(random.next() % requests.size()));
          const ChoiceId choice{parent, random.next() % of.n};
          const std::vector<TokenId>& said = outputs.of(parent, choice.choice).tokens;
          request.prompt.resize(std::min<std::size_t>(request.prompt.size(), 12));
          whole.prompt = of.prompt;
          whole.prompt.insert(whole.prompt.end(), said.begin(), said.end());
          whole.prompt.insert(whole.prompt.end(), request.prompt.begin(), request.prompt.end());
          request.parent = choice;
          if (whole.prompt.size() + *request.params.max_tokens > 4 * kPage) continue;
        }
        RequestId id = 0;
        try {
          id = scheduler.submit(request);
        } catch (const Error&) {
          ASSERT_TRUE(request.parent) << "only a parent may be forgotten";
          continue;
        }
        if (request.parent) ++children;
        adapter_of.emplace(id, traffic.folder(request.adapter));
        requests.emplace(id, std::move(whole));
        if (random.next() % 6 == 0) cancel_at.emplace(steps + random.next() % 20, id);
        ++sent;
      }
      if (sent < count) scheduler.step();
      if (cancel_at.contains(steps)) scheduler.cancel(cancel_at[steps]);
      ASSERT_LE(runner.pages().bytes_in_use(), runner.pages().budget());
      ASSERT_LT(steps, 20000U) << "it does not come to an end";
    }
    for (const auto& [id, request] : requests) {
      for (std::size_t choice = 0; choice < request.n; ++choice) {
        const Seen& seen = outputs.of(id, choice);
        ASSERT_TRUE(seen.last) << "request " << id << " never ended";
        ASSERT_EQ(seen.last->error, "");
        const std::vector<TokenId>& want = alone(request, choice, adapter_of.at(id));
        if (seen.last->finish == FinishReason::cancelled) {
          ++cancelled;
          ASSERT_LE(seen.tokens.size(), want.size());
          ASSERT_TRUE(std::equal(seen.tokens.begin(), seen.tokens.end(), want.begin()));
        } else {
          ASSERT_EQ(seen.tokens, want) << "request " << id << " choice " << choice;
        }
        ASSERT_EQ(seen.last->stats.output_tokens, seen.tokens.size());
        ASSERT_LE(seen.last->stats.cached_tokens, request.prompt.size());
        preemptions += seen.last->stats.preemptions;
        cached += seen.last->stats.cached_tokens;
        drafted += seen.last->stats.drafted_tokens;
        accepted += seen.last->stats.accepted_tokens;
        if (request.params.draft_tokens == 0) {
          ASSERT_EQ(seen.last->stats.drafted_tokens, 0U);
        }
      }
    }
    ASSERT_EQ(scheduler.running() + scheduler.waiting(), 0U);
    scheduler.clear_cache();
    ASSERT_EQ(runner.pages().pages_in_use(), 0U) << "a page leaks";
  }
  EXPECT_GT(preemptions, 100U) << "the schedules are too easy";
  EXPECT_GT(cached, 1000U);
  EXPECT_GT(cancelled, 50U);
  EXPECT_GT(accepted, 500U);
  EXPECT_GT(drafted - accepted, 500U);
  EXPECT_GT(children, 200U);
}

TEST(Scheduler, PrefixHitsAtEveryOffsetGiveTheLogitsOfAColdRun) {
  const Golden model = golden("native");
  Runner runner = make_runner(model);
  const std::vector<TokenId> prompt = tokens_of(1, 300);
  Sequence full = runner.new_sequence();
  runner.feed(full, prompt);
  PrefixCache cache(4, runner.model().layout().replay_tokens());
  cache.insert(std::move(full));
  for (std::size_t shared = runner.model().layout().replay_tokens() + 1; shared < 300; ++shared) {
    std::vector<TokenId> other(prompt.begin(), prompt.begin() + static_cast<long>(shared));
    other.push_back(prompt[shared] == 5 ? 6 : 5);
    auto hit = cache.find(other);
    ASSERT_TRUE(hit);
    ASSERT_EQ(hit->common, shared);
    runner.rollback(hit->sequence, hit->sequence.length() - shared);
    const auto warm = runner.feed(hit->sequence, {&other.back(), 1});
    const std::vector<float> got(warm.begin(), warm.end());
    Sequence cold = runner.new_sequence();
    const auto want = runner.feed(cold, other);
    for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-4) << shared;
  }
}

TEST(Scheduler, ASecondTurnComputesOnlyWhatIsNew) {
  const Golden model = golden("native");
  Runner runner = make_runner(model);
  Scheduler scheduler(runner, model.text);
  Outputs outputs;
  Request request{.prompt = tokens_of(1, 700), .params = {.temperature = 0, .max_tokens = 4}};
  request.on_event = collect(outputs);
  const RequestId first = scheduler.submit(request);
  while (scheduler.step()) {
  }
  const auto& answer = outputs.of(first).tokens;
  EXPECT_EQ(outputs.of(first).last->stats.cached_tokens, 0U);
  request.prompt.insert(request.prompt.end(), answer.begin(), answer.end());
  const auto more = tokens_of(2, 9);
  request.prompt.insert(request.prompt.end(), more.begin(), more.end());
  const RequestId second = scheduler.submit(request);
  while (scheduler.step()) {
  }
  EXPECT_EQ(outputs.of(second).last->stats.cached_tokens, 703U) << "all but the unfed last token";
}

TEST(Scheduler, APopulationHoldsItsPromptOnce) {
  const Golden model = golden("native");
  Runner runner = make_runner(model);
  Scheduler scheduler(runner, model.text, {.cached_sequences = 0});
  const std::size_t prompt_pages = 20;
  Request request{.prompt = tokens_of(1, prompt_pages * kPage),
                  .params = {.temperature = 1, .max_tokens = 5},
                  .n = 16};
  scheduler.submit(std::move(request));
  std::size_t most = 0;
  while (scheduler.step()) most = std::max(most, runner.pages().bytes_in_use());
  EXPECT_EQ(most, (prompt_pages + 16) * page_bytes(runner));
}

// A context that four adapters read: what each changes it holds itself, the rest is there once.
TEST(Scheduler, AdaptersShareThePagesOfLayersTheyLeaveAlone) {
  const Golden model = golden("native");
  const AdapterFolders folders(model);
  Alone alone(model);
  Runner runner = make_runner(model);
  Scheduler scheduler(runner, model.text);
  for (const char* name : {"all", "late", "output"}) {
    scheduler.load_adapter(name, folders.path(name));
  }
  const StateLayout& layout = runner.model().layout();
  const auto layers = [&](std::size_t first) {
    std::size_t bytes = 0;
    for (std::size_t i = first; i < layout.layers(); ++i) bytes += layout.page_bytes(i);
    return bytes;
  };
  const std::size_t pages = 20;
  Outputs outputs;
  std::size_t want = 0;
  // The last page is not looked for: a prompt's last token is always computed.
  for (const auto& [name, first] : std::vector<std::pair<std::string, std::size_t>>{
           {"", 0}, {"late", 2}, {"output", 2}, {"all", 0}}) {
    Request request{.prompt = tokens_of(1, pages * kPage),
                    .params = {.temperature = 0, .max_tokens = 1},
                    .adapter = name};
    request.on_event = collect(outputs);
    const RequestId id = scheduler.submit(request);
    while (scheduler.step()) {
    }
    const std::filesystem::path folder = name.empty() ? "" : folders.path(name);
    EXPECT_EQ(outputs.of(id).tokens, alone(request, 0, folder)) << name;
    want += pages * layers(0) - (pages - 1) * (layers(0) - layers(first));
    EXPECT_EQ(runner.pages().bytes_in_use(), want) << name;
  }
  // The base's own pages go; what the others share of them stays.
  const std::size_t before = runner.pages().bytes_in_use();
  scheduler.unload_adapter("late");
  EXPECT_FALSE(scheduler.step());
  EXPECT_EQ(runner.pages().bytes_in_use(), before - (pages * layers(2) + layers(0) - layers(2)));
  scheduler.clear_cache();
  EXPECT_EQ(runner.pages().pages_in_use(), 0U);
}

TEST(Scheduler, AnUnloadedAdapterServesWhatRunsAndNothingElse) {
  const Golden model = golden("native");
  const AdapterFolders folders(model);
  Alone alone(model);
  Runner runner = make_runner(model);
  Scheduler scheduler(runner, model.text);
  Outputs outputs;
  Request request{.prompt = tokens_of(1, 50),
                  .params = {.temperature = 0, .max_tokens = 20, .ignore_eos = true},
                  .adapter = "x"};
  request.on_event = collect(outputs);
  const auto message = [](const auto& action) -> std::string {
    try {
      action();
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  const auto submit = [&] { scheduler.submit(request); };
  EXPECT_EQ(message(submit), "adapter \"x\": is not loaded");
  EXPECT_EQ(message([&] { scheduler.load_adapter("", folders.path("all")); }),
            "adapter: it needs a name");
  EXPECT_NE(message([&] { scheduler.load_adapter("x", folders.path("none")); }), "no error");
  EXPECT_TRUE(scheduler.adapters().empty()) << "a load that failed leaves nothing";
  scheduler.load_adapter("x", folders.path("all"));
  EXPECT_EQ(message([&] { scheduler.load_adapter("x", folders.path("late")); }),
            "adapter \"x\": is loaded already");
  ASSERT_EQ(scheduler.adapters().size(), 1U);
  EXPECT_EQ(scheduler.adapters()[0].name, "x");
  EXPECT_EQ(scheduler.adapters()[0].folder, folders.path("all").string());

  const RequestId running = scheduler.submit(request);
  for (int i = 0; i < 5; ++i) scheduler.step();
  scheduler.unload_adapter("x");
  EXPECT_EQ(message([&] { scheduler.unload_adapter("x"); }), "adapter \"x\": is not loaded");
  EXPECT_EQ(message(submit), "adapter \"x\": is not loaded");
  while (scheduler.step()) {
  }
  EXPECT_EQ(outputs.of(running).tokens, alone(request, 0, folders.path("all")));
  EXPECT_EQ(runner.pages().pages_in_use(), 0U) << "nothing of it is cached";
  // Another of the same name.
  scheduler.load_adapter("x", folders.path("late"));
  const RequestId other = scheduler.submit(request);
  while (scheduler.step()) {
  }
  EXPECT_EQ(outputs.of(other).tokens, alone(request, 0, folders.path("late")));
  EXPECT_NE(outputs.of(other).tokens, outputs.of(running).tokens);
  EXPECT_EQ(outputs.of(other).last->stats.cached_tokens, 0U);
}

TEST(Scheduler, AChildSharesThePagesOfItsRunningParent) {
  const Golden model = golden("native");
  Alone alone(model);
  Runner runner = make_runner(model);
  Scheduler scheduler(runner, model.text, {.cached_sequences = 0});
  Outputs outputs;
  const std::size_t prompt_pages = 20;
  Request request{.prompt = tokens_of(1, prompt_pages * kPage),
                  .params = {.temperature = 0, .max_tokens = 12, .ignore_eos = true}};
  Request child = request;
  child.prompt = {5, 6};
  child.on_event = collect(outputs);
  RequestId forked = 0;
  std::vector<TokenId> whole = request.prompt;
  request.on_event = [&](const RequestEvent& event) {
    if (!event.token || forked != 0) return;
    whole.push_back(event.token->token);
    if (whole.size() < request.prompt.size() + 5) return;
    child.parent = {event.request, event.choice};
    forked = scheduler.submit(child);
  };
  scheduler.submit(request);
  std::size_t most = 0;
  while (scheduler.step()) most = std::max(most, runner.pages().bytes_in_use());
  EXPECT_EQ(most, (prompt_pages + 2) * runner.model().layout().page_bytes());

  whole.insert(whole.end(), {5, 6});
  child.prompt = whole;
  EXPECT_EQ(outputs.of(forked).tokens, alone(child, 0)) << "the parent as it was at submit()";
  const RequestStats& stats = outputs.of(forked).last->stats;
  EXPECT_EQ(stats.prompt_tokens, whole.size());
  EXPECT_EQ(stats.cached_tokens, whole.size() - 3) << "what the parent had been fed";
}

TEST(Scheduler, AChildOfOneThatEndedGoesOnFromTheCache) {
  const Golden model = golden("native");
  Runner runner = make_runner(model);
  Scheduler scheduler(runner, model.text, {.cached_sequences = 2});
  Outputs outputs;
  Request request{.prompt = tokens_of(1, 100),
                  .params = {.temperature = 0, .max_tokens = 4, .ignore_eos = true}};
  request.on_event = collect(outputs);
  const RequestId parent = scheduler.submit(request);
  while (scheduler.step()) {
  }
  request.prompt.clear();
  request.parent = {parent, 0};
  const RequestId child = scheduler.submit(request);
  EXPECT_THROW(scheduler.submit({.prompt = {5}, .parent = ChoiceId{parent, 1}}), Error);
  EXPECT_THROW(scheduler.submit({.prompt = {5}, .parent = ChoiceId{child + 1, 0}}), Error);
  while (scheduler.step()) {
  }
  EXPECT_EQ(outputs.of(child).last->stats.prompt_tokens, 104U);
  EXPECT_EQ(outputs.of(child).last->stats.cached_tokens, 103U);
  // Two more, and the first is forgotten.
  request.parent = {};
  request.prompt = {5};
  for (int i = 0; i < 2; ++i) scheduler.submit(request);
  while (scheduler.step()) {
  }
  EXPECT_THROW(scheduler.submit({.prompt = {5}, .parent = ChoiceId{parent, 0}}), Error);
}

TEST(Scheduler, OutputsGoOnWhileALongPromptIsRead) {
  const Golden model = golden("native");
  Runner runner = make_runner(model);
  Scheduler scheduler(runner, model.text, {.step_tokens = 32});
  Outputs outputs;
  Request stream{.prompt = tokens_of(1, 10), .params = {.temperature = 0, .max_tokens = 100}};
  stream.params.ignore_eos = true;
  stream.on_event = collect(outputs);
  const RequestId id = scheduler.submit(stream);
  scheduler.step();
  Request prompt{.prompt = tokens_of(2, 1000), .params = {.temperature = 0, .max_tokens = 1}};
  prompt.on_event = collect(outputs);
  const RequestId read = scheduler.submit(prompt);
  std::size_t steps = 0;
  for (; !outputs.of(read).last; ++steps) {
    const std::size_t before = outputs.of(id).tokens.size();
    ASSERT_TRUE(scheduler.step());
    ASSERT_EQ(outputs.of(id).tokens.size(), before + 1) << "a token every step";
  }
  EXPECT_EQ(steps, (1000U + 30) / 31) << "the rest of every step is the prompt's";
}

TEST(Scheduler, PromptsShareAStep) {
  const Golden model = golden("native");
  Runner runner = make_runner(model);
  Scheduler scheduler(runner, model.text, {.step_tokens = 64, .prompt_tokens = 64});
  Outputs outputs;
  Request slow{.prompt = tokens_of(1, 2000), .params = {.temperature = 0, .max_tokens = 1}};
  slow.on_event = collect(outputs);
  Request quick = slow;
  quick.prompt = tokens_of(2, 60);
  const RequestId first = scheduler.submit(slow);
  const RequestId second = scheduler.submit(quick);
  for (int i = 0; i < 2; ++i) scheduler.step();
  EXPECT_TRUE(outputs.of(second).last) << "half of each step is its own";
  EXPECT_FALSE(outputs.of(first).last);
}

TEST(Scheduler, HigherPriorityTakesTheMemoryOfLower) {
  const Golden model = golden("native");
  Runner runner = make_runner(model, 6 * page_bytes(make_runner(model)));
  Scheduler scheduler(runner, model.text);
  std::vector<RequestId> ended;
  Request low{.prompt = tokens_of(1, 3 * kPage), .params = {.temperature = 0, .max_tokens = 20}};
  low.params.ignore_eos = true;
  low.on_event = [&](const RequestEvent& event) {
    if (event.finish) ended.push_back(event.request);
  };
  Request high = low;
  high.prompt = tokens_of(2, 3 * kPage);
  high.priority = 1;
  const RequestId a = scheduler.submit(low);
  for (int i = 0; i < 3; ++i) scheduler.step();
  const RequestId b = scheduler.submit(high);
  while (scheduler.step()) {
  }
  EXPECT_EQ(ended, (std::vector<RequestId>{b, a}));
}

/// An output that says one token again and again.
Request chant(std::size_t prompt, std::size_t max_tokens) {
  return {.prompt = std::vector<TokenId>(prompt, 5),
          .params = {.temperature = 0,
                     .logit_bias = {{5, 100.0F}},
                     .max_tokens = max_tokens,
                     .ignore_eos = true,
                     .draft_tokens = 16}};
}

TEST(Scheduler, DraftsSaveStepsAndKeepToTheBudget) {
  const Golden model = golden("native");
  Runner runner = make_runner(model);
  const auto steps = [&](std::size_t step_tokens, std::size_t outputs, std::size_t others) {
    Scheduler scheduler(runner, model.text, {.step_tokens = step_tokens, .cached_sequences = 0});
    Outputs seen;
    std::vector<RequestId> ids;
    for (std::size_t i = 0; i < outputs; ++i) {
      Request request = chant(20, 100);
      request.on_event = collect(seen);
      ids.push_back(scheduler.submit(std::move(request)));
    }
    std::size_t count = 0;
    std::size_t had = 0;
    const auto tokens = [&] {
      std::size_t sum = 0;
      for (const RequestId id : ids) sum += seen.of(id).tokens.size();
      return sum;
    };
    while (had < outputs) scheduler.step(), had = tokens();
    for (std::size_t i = 0; i < others; ++i) scheduler.submit({.prompt = tokens_of(i, 3000)});
    for (; had < outputs * 100; ++count) {
      scheduler.step();
      EXPECT_LE(tokens() - had, step_tokens);
      had = tokens();
    }
    for (const RequestId id : ids) {
      EXPECT_EQ(seen.of(id).tokens, std::vector<TokenId>(100, 5));
      const RequestStats& stats = seen.of(id).last->stats;
      EXPECT_GE(stats.drafted_tokens, stats.accepted_tokens);
      EXPECT_GE(stats.accepted_tokens, 99 - count);
    }
    return count;
  };
  EXPECT_LE(steps(256, 1, 0), 10U) << "up to 17 tokens each";
  EXPECT_EQ(steps(1, 1, 0), 99U) << "no room for a draft";
  EXPECT_EQ(steps(8, 2, 0), 25U) << "4 tokens for each";
  EXPECT_LE(steps(64, 2, 2), 10U) << "prompts have what drafts leave, and a quarter at least";
}

TEST(Scheduler, DraftsNeverTakeMemoryFromOthers) {
  const Golden model = golden("native");
  const std::size_t page = page_bytes(make_runner(model));
  // Two outputs that end with the last position of the last page; a draft must not reach past it.
  Runner runner = make_runner(model, 4 * page);
  Scheduler scheduler(runner, model.text, {.cached_sequences = 0});
  Outputs seen;
  std::vector<RequestId> ids;
  for (int i = 0; i < 2; ++i) {
    Request request = chant(20, 2 * kPage - 20);
    request.on_event = collect(seen);
    ids.push_back(scheduler.submit(std::move(request)));
  }
  while (scheduler.step()) ASSERT_LE(runner.pages().bytes_in_use(), 4 * page);
  for (const RequestId id : ids) {
    EXPECT_EQ(seen.of(id).tokens.size(), 2 * kPage - 20);
    EXPECT_EQ(seen.of(id).last->stats.preemptions, 0U);
    EXPECT_GT(seen.of(id).last->stats.accepted_tokens, 20U);
  }
}

TEST(Scheduler, DraftsEndWhereFreeMemoryDoes) {
  const Golden model = golden("native");
  // The first output would draft past its page, but the other holds the two that are left.
  Runner runner = make_runner(model, 3 * page_bytes(make_runner(model)));
  Scheduler scheduler(runner, model.text, {.cached_sequences = 0});
  Outputs seen;
  Request first = chant(kPage - 4, 30);
  first.on_event = collect(seen);
  const RequestId a = scheduler.submit(std::move(first));
  Request second{.prompt = tokens_of(1, kPage + 5), .params = {.temperature = 0, .max_tokens = 9}};
  second.params.ignore_eos = true;
  second.on_event = collect(seen);
  const RequestId b = scheduler.submit(std::move(second));
  scheduler.step();
  ASSERT_EQ(seen.of(a).tokens.size(), 1U);
  ASSERT_EQ(seen.of(b).tokens.size(), 1U);
  scheduler.step();
  EXPECT_EQ(scheduler.running(), 2U) << "nobody is preempted";
  EXPECT_EQ(seen.of(a).tokens.size(), 5U) << "a draft to the end of the page, and a token more";
  while (scheduler.step()) {
  }
  EXPECT_EQ(seen.of(a).tokens.size(), 30U);
  EXPECT_EQ(seen.of(b).tokens.size(), 9U);
}

TEST(Scheduler, RefusesWhatCanNeverFitWithTheNumbers) {
  const Golden model = golden("native");
  Runner runner = make_runner(model, 3 * page_bytes(make_runner(model)));
  Scheduler scheduler(runner, model.text);
  const auto message = [&](Request request) -> std::string {
    try {
      scheduler.submit(std::move(request));
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_NE(message({.prompt = tokens_of(1, 90), .params = {.max_tokens = 7}})
                .find("expected at most 96 tokens"),
            std::string::npos);
  EXPECT_NE(message({.prompt = tokens_of(1, 96), .params = {}}).find("97 tokens"),
            std::string::npos);
  EXPECT_NE(message({.prompt = tokens_of(1, 9), .params = {}, .n = 0}).find("choices"),
            std::string::npos);
  EXPECT_NE(message({.prompt = {}, .params = {}}), "no error");
  EXPECT_NE(message({.prompt = tokens_of(1, 9), .params = {.max_tokens = SIZE_MAX}})
                .find("found 4096 tokens"),
            std::string::npos)
      << "as many as the context has";
  // Without max_tokens, the memory is the limit.
  Outputs outputs;
  Request request{.prompt = tokens_of(1, 90), .params = {.temperature = 0, .ignore_eos = true}};
  request.on_event = collect(outputs);
  const RequestId id = scheduler.submit(std::move(request));
  while (scheduler.step()) {
  }
  EXPECT_EQ(outputs.of(id).tokens.size(), 6U);
  EXPECT_EQ(outputs.of(id).last->finish, FinishReason::length);
}

TEST(Scheduler, ACallbackMaySubmitAndCancel) {
  const Golden model = golden("native");
  Runner runner = make_runner(model);
  Scheduler scheduler(runner, model.text);
  Outputs outputs;
  Request request{.prompt = tokens_of(1, 5),
                  .params = {.temperature = 0, .max_tokens = 50, .ignore_eos = true}};
  RequestId second = 0;
  request.on_event = [&](const RequestEvent& event) {
    if (event.finish || !event.token || second != 0) return;
    Request next = request;
    next.params.max_tokens = 2;
    next.on_event = collect(outputs);
    second = scheduler.submit(std::move(next));
    scheduler.cancel(event.request);
  };
  scheduler.submit(request);
  std::size_t steps = 0;
  while (scheduler.step()) ++steps;
  EXPECT_EQ(outputs.of(second).tokens.size(), 2U);
  EXPECT_LE(steps, 5U) << "the first was cancelled";
}

}  // namespace
}  // namespace zaya
