#include "rsa/journal.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/random.h"
#include "rsa/result_json.h"
#include "tests/rsa/scripted_generator.h"
#include "zaya/error.h"

namespace zaya::rsa {
namespace {

using test::ScriptedGenerator;

// The same in the processes that a test forks.
const std::filesystem::path& journal_file() {
  static const std::filesystem::path file =
      std::filesystem::path(testing::TempDir()) / fmt::format("zaya-journal-{}", ::getpid());
  return file;
}

Settings settings() {
  return {.rounds = 3, .population = 4, .subset = 2, .beta = 50, .tau = 3, .final_tokens = 50};
}

Output scripted(const Call& call, std::size_t /*number*/) {
  const std::string& prompt = call.messages.back().content;
  const std::size_t hash = std::hash<std::string>()(prompt) ^ call.params.seed;
  return {.reasoning = fmt::format("a b c\n\"{}\" é {}", hash, hash % 7),
          .answer = fmt::format("{}", hash % 3),
          .finish = FinishReason::stop,
          .prompt_tokens = prompt.size(),
          .output_tokens = 5,
          .seconds = 0.25};
}

std::vector<Problem> problems(const Journal::Known& known) {
  std::vector<Problem> out;
  for (std::uint64_t i = 0; i < 3; ++i) {
    Problem p{
        .id = fmt::format("p{}", i),
        .messages = {{"user", fmt::format("question {}", i)}},
        .prompt = std::make_shared<const AggregationPrompt>(AggregationPrompt::builtin("open")),
        .number = i};
    p.answers.extract = [](const std::string& text) { return std::optional(text); };
    if (known.contains(i)) p.known = known.at(i);
    out.push_back(std::move(p));
  }
  return out;
}

Json run(Journal& journal, std::uint64_t order, std::size_t& calls, bool slowly = false) {
  ScriptedGenerator generator(
      [&](const Call& call, std::size_t number) {
        if (slowly) std::this_thread::sleep_for(std::chrono::milliseconds(2));
        return scripted(call, number);
      },
      {.slots = 3, .order = order});
  Json all = Json::array();
  for (const Result& r : solve(generator, problems(journal.known()), settings(),
                               {.observer = [&](const Event& e) { journal.add(e); }})) {
    Json json = to_json(r);
    for (const auto& stage : r.stages) {
      for (const Candidate& c : stage) json["texts"].push_back(to_json(c, true));
    }
    all.push_back(std::move(json));
  }
  calls = generator.started.size();
  return all;
}

TEST(RsaJournal, KeepsOutputsToTheByte) {
  std::filesystem::remove(journal_file());
  const Json head = {{"what", "a test"}};
  std::size_t calls = 0;
  Json whole;
  {
    Journal journal = Journal::create(journal_file(), head);
    whole = run(journal, 1, calls);
    EXPECT_EQ(calls, 48U);
    EXPECT_THROW(Journal::resume(journal_file()), Error);  // it is in use
  }
  EXPECT_THROW(Journal::create(journal_file(), head), Error);
  Journal journal = Journal::resume(journal_file());
  EXPECT_EQ(journal.head(), head);
  EXPECT_EQ(journal.known().at(2).size(), 16U);
  EXPECT_EQ(run(journal, 2, calls), whole);
  EXPECT_EQ(calls, 0U);
}

// A process is killed at random moments, again and again, until the run is done.
TEST(RsaJournal, KilledRunsComeToTheSameEnd) {
  std::filesystem::remove(journal_file());
  std::size_t calls = 0;
  Json undisturbed;
  {
    Journal journal = Journal::create(journal_file(), Json::object());
    undisturbed = run(journal, 1, calls);
  }
  std::filesystem::remove(journal_file());
  const auto lines_now = [] {
    const std::string text =
        std::filesystem::exists(journal_file()) ? read_file(journal_file()) : std::string();
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  };
  Random random(17);
  bool done = false;
  int kills = 0;
  for (int attempt = 0; attempt < 300 && !done; ++attempt) {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        std::size_t ignored = 0;
        Journal journal = std::filesystem::exists(journal_file())
                              ? Journal::resume(journal_file())
                              : Journal::create(journal_file(), Json::object());
        std::ofstream(journal_file().string() + ".result")
            << run(journal, static_cast<std::uint64_t>(attempt), ignored, true).dump();
        ::_exit(0);
      } catch (const std::exception& e) {
        // Killed before its first line was whole: there is nothing to go on with.
        std::filesystem::remove(journal_file());
        ::_exit(1);
      }
    }
    // When a few more lines are there, and then at any moment.
    const std::size_t lines = lines_now() + random.next() % 5;
    int status = 0;
    while (::waitpid(child, &status, WNOHANG) == 0) {
      if (lines_now() < lines) continue;
      std::this_thread::sleep_for(std::chrono::microseconds(random.next() % 1000));
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      break;
    }
    if (WIFSIGNALED(status)) ++kills;
    done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  ASSERT_GT(kills, 3);
  ASSERT_TRUE(done);
  Journal journal = Journal::resume(journal_file());
  const Json resumed = run(journal, 99, calls);
  EXPECT_EQ(resumed, undisturbed);
  EXPECT_EQ(calls, 0U);
}

TEST(RsaJournal, ATornEndIsCutOff) {
  std::filesystem::remove(journal_file());
  std::size_t calls = 0;
  {
    Journal journal = Journal::create(journal_file(), Json::object());
    run(journal, 1, calls);
  }
  const std::string whole = read_file(journal_file());
  const std::size_t last = whole.rfind('\n', whole.size() - 2);
  for (const std::size_t cut : {last + 2, whole.size() - 1}) {
    write_file(journal_file(), whole.substr(0, cut));
    Journal journal = Journal::resume(journal_file());
    EXPECT_EQ(read_file(journal_file()), whole.substr(0, last + 1));
    run(journal, 3, calls);
    EXPECT_EQ(calls, 1U);
    EXPECT_EQ(read_file(journal_file()).size(), whole.size());
  }
}

TEST(RsaJournal, DamageIsNamed) {
  const auto refused = [&](const std::string& text, const std::string& part) {
    write_file(journal_file(), text);
    try {
      Journal::resume(journal_file());
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
  };
  const std::string head = "{\"zaya_journal\": 1, \"run\": {}}\n";
  refused("", "no first line");
  refused("{}\n", "line 1");
  refused("{\"zaya_journal\": 2, \"run\": {}}\n", "version");
  refused(head + "{\"problem\": 0}\n", "line 2");
  refused(head + "nonsense\n", "line 2");
  refused(head + "{\"problem\": -1, \"stage\": 0, \"candidate\": 0, \"output\": {}}\n", "line 2");
  std::filesystem::remove(journal_file());
  EXPECT_THROW(Journal::resume(journal_file()), Error);
}

}  // namespace
}  // namespace zaya::rsa
