// States in files: what is written is what is read, and nothing else is.
#include "cache/session_file.h"

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"
#include "base/random.h"
#include "tests/fuzz/session_checks.h"
#include "zaya/error.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

struct SessionFiles : testing::Test {
  SmallState state;
  fs::path folder = fs::temp_directory_path() / ("zaya-session-" + std::to_string(::getpid()));

  SessionFiles() { fs::create_directories(folder); }
  ~SessionFiles() override { fs::remove_all(folder); }

  /// A state of random numbers.
  Sequence sequence(std::size_t length) const {
    Random random(length);
    Sequence out = state.empty();
    const SequenceView view = out.begin_step(length);
    for (std::size_t layer = 0; layer < view.pages.size(); ++layer) {
      for (std::byte* page : view.pages[layer]) {
        for (std::size_t i = 0; i < state.layout.page_bytes(layer); ++i) {
          page[i] = static_cast<std::byte>(random.next());
        }
      }
    }
    for (std::size_t i = 0; i < state.tail->size(); ++i) {
      view.tail[i] = static_cast<float>(random.normal());
    }
    std::vector<TokenId> tokens(length);
    for (TokenId& t : tokens) t = static_cast<TokenId>(random.next() % 1000);
    out.end_step(tokens);
    return out;
  }

  Sequence read(const std::string& bytes) const {
    const SessionFile session(std::as_bytes(std::span(bytes)), "file", state.layout, state.owner);
    session.verify();
    Sequence out = state.empty();
    session.restore(out);
    return out;
  }

  std::string written(const Sequence& sequence) const {
    write_session(folder / "s", sequence, state.layout, state.owner);
    return read_file(folder / "s");
  }

  std::string problem(const std::string& bytes) const {
    try {
      read(bytes);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(SessionFiles, HoldTheWholeState) {
  for (const std::size_t length : {1, 31, 32, 33, 200}) {
    const Sequence was = sequence(length);
    const Sequence is = read(written(was));
    EXPECT_EQ(is.tokens(), was.tokens());
    ASSERT_EQ(is.tail().size(), was.tail().size());
    EXPECT_EQ(std::memcmp(is.tail().data(), was.tail().data(), was.tail().size_bytes()), 0);
    for (std::size_t layer = 0; layer < state.layout.layers(); ++layer) {
      ASSERT_EQ(is.pages(layer).size(), was.pages(layer).size());
      for (std::size_t i = 0; i < is.pages(layer).size(); ++i) {
        ASSERT_EQ(is.pages(layer)[i] == nullptr, was.pages(layer)[i] == nullptr);
        if (is.pages(layer)[i] == nullptr) continue;
        EXPECT_EQ(
            std::memcmp(is.pages(layer)[i], was.pages(layer)[i], state.layout.page_bytes(layer)),
            0);
      }
    }
  }
}

TEST_F(SessionFiles, HoldNoMoreThanAWindowHasLeft) {
  const Sequence was = sequence(200);
  EXPECT_EQ(was.pages(1)[0], nullptr);
  const std::size_t before = state.pool->pages_in_use();
  const Sequence is = read(written(was));
  EXPECT_EQ(state.pool->pages_in_use(), 2 * before);
  for (std::size_t length = 0; length <= 200; ++length) {
    EXPECT_EQ(is.can_roll_back(length), was.can_roll_back(length)) << length;
  }
}

TEST_F(SessionFiles, EveryDamagedByteIsFound) {
  const std::string good = written(sequence(40));
  ASSERT_EQ(problem(good), "");
  const std::size_t json_end = good.find("]}}") + 3;  // spaces up to the data mean nothing
  for (std::size_t i = 0; i < good.size(); ++i) {
    if (i >= json_end && i < json_end + 8 && good[i] == ' ') continue;
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
    ASSERT_NE(problem(bad), "") << "byte " << i;
  }
  for (std::size_t length = 0; length < good.size(); ++length) {
    ASSERT_NE(problem(good.substr(0, length)), "") << "cut off after " << length;
  }
  EXPECT_NE(problem(good + '\0'), "");
  // In the middle of K and V, only the checksum knows.
  std::string bad = good;
  bad[bad.size() - 100] = static_cast<char>(bad[bad.size() - 100] + 1);
  EXPECT_NE(problem(bad).find("file: the session is damaged: its checksum is wrong: expected"),
            std::string::npos)
      << problem(bad);
}

TEST_F(SessionFiles, ForeignOnesAreRefusedByName) {
  const std::string good = written(sequence(40));
  const auto problem_for = [&](const StateLayout& layout, const SessionOwner& owner) {
    try {
      const SessionFile session(std::as_bytes(std::span(good)), "file", layout, owner);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(problem_for(state.layout, {.checkpoint = "abc", .compute = "fast"}),
            "file: the session was saved with another checkpoint: expected abc, found "
            "\"0123456789abcdef\"");
  EXPECT_EQ(problem_for(state.layout, {.checkpoint = state.owner.checkpoint, .compute = "f32"}),
            "file: the session was saved with another compute: expected f32, found \"fast\"");
  EXPECT_EQ(problem_for(StateLayout(SmallState::config(), KvFormat::f32), state.owner),
            "file: the session was saved with another kv: expected 2 x f32/f32, found "
            "\"2 x bf16/bf16\"");
  EXPECT_EQ(problem_for(StateLayout(SmallState::config(), {{KvFormat::bf16, KvFormat::bf16},
                                                           {KvFormat::fp8, KvFormat::int4}}),
                        state.owner),
            "file: the session was saved with another kv: expected 1 x bf16/bf16, 1 x fp8/int4, "
            "found \"2 x bf16/bf16\"");
  ModelConfig config = SmallState::config();
  config.heads = 2;
  EXPECT_NE(problem_for(StateLayout(config, KvFormat::bf16), state.owner).find("file: tail:"),
            std::string::npos);

  // A layer that looks further back needs pages that this one had let go of.
  const std::string windowed = written(sequence(200));
  config = SmallState::config();
  config.window = 180;
  const StateLayout wide(config, KvFormat::bf16);
  EXPECT_THROW(SessionFile(std::as_bytes(std::span(windowed)), "file", wide, state.owner), Error);

  SafetensorsWriter other(folder / "other", {{"x", DType::u8, {1}}});
  other.append(std::as_bytes(std::span("x", 1)));
  other.commit();
  EXPECT_NE(problem(read_file(folder / "other")).find("no session"), std::string::npos);
}

TEST_F(SessionFiles, ComeWholeOrNotAtAll) {
  EXPECT_THROW(write_session(folder / "none/s", sequence(3), state.layout, state.owner), Error);
  EXPECT_THROW(write_session(folder / "s", state.empty(), state.layout, state.owner), Error);
  EXPECT_TRUE(fs::is_empty(folder));
  written(sequence(3));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1)
      << "nothing is left beside it";
}

TEST_F(SessionFiles, NeedRoomForTheirPages) {
  const std::string good = written(sequence(40));
  const auto tight = std::make_shared<PagePool>(3 * state.layout.page_bytes(0));
  Sequence out(state.layout, tight, state.tail);
  const SessionFile session(std::as_bytes(std::span(good)), "file", state.layout, state.owner);
  EXPECT_THROW(session.restore(out), Error);
  EXPECT_EQ(tight->pages_in_use(), 0U);
}

TEST_F(SessionFiles, FuzzCorpus) {
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator(ZAYA_SOURCE_DIR "/tests/fuzz/corpus/session")) {
    const std::string bytes = read_file(entry.path());
    check_session(std::as_bytes(std::span(bytes)));
    ++count;
  }
  EXPECT_GT(count, 3U);
  // One of them is good, so that mutations begin there.
  EXPECT_EQ(problem(read_file(ZAYA_SOURCE_DIR "/tests/fuzz/corpus/session/good")), "");
}

}  // namespace
}  // namespace zaya
