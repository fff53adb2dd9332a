// The forward pass against recorded outputs of the reference implementation, and the promise that a
// sequence's state may be chunked, batched, forked and rolled back without changing any result.
#include "engine/runner.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "zaya/error.h"

namespace zaya {
namespace {

const std::vector<std::string> kGoldens{"native",         "legacy",      "native-sliding",
                                        "legacy-sliding", "base-schema", "native-bf16"};

std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(ZAYA_TEST_DATA) / "goldens" / name;
}

struct Case {
  std::vector<TokenId> input;
  std::vector<TokenId> greedy;
  std::vector<float> logits;  ///< [input, vocab]
};

std::vector<float> floats(const TensorView& view) {
  const auto* data = reinterpret_cast<const float*>(view.data);
  return {data, data + view.elements()};
}

std::vector<Case> cases(const std::string& name) {
  const Json json = read_json_file(golden(name) / "expected.json");
  const SafetensorsFile file(golden(name) / "expected.safetensors");
  std::vector<Case> out;
  for (std::size_t i = 0; i < json.size(); ++i) {
    out.push_back({json[i]["input_ids"].get<std::vector<TokenId>>(),
                   json[i]["greedy"].get<std::vector<TokenId>>(),
                   floats(file.tensor("case" + std::to_string(i) + ".logits"))});
  }
  return out;
}

std::unique_ptr<Runner> make_runner(const std::string& name, Compute compute = Compute::f32,
                                    int threads = 2, bool deterministic = true) {
  auto checkpoint = std::make_shared<const Checkpoint>(Checkpoint::open(golden(name)));
  return std::make_unique<Runner>(
      std::move(checkpoint),
      RunnerOptions{.compute = compute, .threads = threads, .deterministic = deterministic});
}

std::vector<float> copy(std::span<const float> values) {
  return {values.begin(), values.end()};
}

/// Logits of every position, `chunk` tokens a step.
std::vector<float> all_logits(Runner& runner, Sequence& sequence, std::span<const TokenId> tokens,
                              std::size_t chunk) {
  std::vector<float> out;
  for (std::size_t i = 0; i < tokens.size(); i += chunk) {
    const Runner::Item item{sequence, tokens.subspan(i, std::min(chunk, tokens.size() - i)),
                            Logits::all};
    const auto part = runner.step({&item, 1});
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

void expect_close(const std::vector<float>& got, const std::vector<float>& want,
                  const std::string& what, float tolerance = 1e-4F) {
  ASSERT_EQ(got.size(), want.size()) << what;
  float scale = 0;
  for (const float w : want) scale = std::max(scale, std::abs(w));
  float worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_FALSE(std::isnan(got[i])) << what;
    worst = std::max(worst, std::abs(got[i] - want[i]));
  }
  EXPECT_LE(worst, tolerance * scale) << what;
}

TokenId greedy(std::span<const float> logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

class EveryGolden : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Runner, EveryGolden, testing::ValuesIn(kGoldens),
                         [](const auto& golden_name) {
                           std::string name = golden_name.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(EveryGolden, LogitsMatchOnEveryIsaInChunksOfAnySize) {
  for (const Isa isa : host_isas()) {
    ::setenv("ZAYA_ISA", std::string(isa_name(isa)).c_str(), 1);
    const auto runner = make_runner(GetParam());
    for (const Case& c : cases(GetParam())) {
      for (const std::size_t chunk : {1000, 1, 3, 7}) {
        Sequence sequence = runner->new_sequence();
        expect_close(all_logits(*runner, sequence, c.input, chunk), c.logits,
                     std::string(isa_name(isa)) + ", chunks of " + std::to_string(chunk));
      }
    }
  }
  ::unsetenv("ZAYA_ISA");
}

TEST_P(EveryGolden, GreedyContinuationsAreIdentical) {
  const auto runner = make_runner(GetParam());
  for (const Case& c : cases(GetParam())) {
    Sequence sequence = runner->new_sequence();
    TokenId next = greedy(runner->feed(sequence, c.input));
    for (const TokenId want : c.greedy) {
      ASSERT_EQ(next, want);
      next = greedy(runner->feed(sequence, {&next, 1}));
    }
  }
}

TEST_P(EveryGolden, BatchMatesChunksAndThreadsDoNotChangeABit) {
  const auto alone = make_runner(GetParam(), Compute::f32, 1);
  const auto runner = make_runner(GetParam(), Compute::f32, 3);
  const std::vector<Case> all = cases(GetParam());
  std::vector<std::vector<float>> want;
  for (const Case& c : all) {
    Sequence sequence = alone->new_sequence();
    want.push_back(all_logits(*alone, sequence, c.input, 1000));
  }
  // All cases together, a ragged batch whose sequences advance at different speeds.
  std::vector<Sequence> sequences;
  for (std::size_t i = 0; i < all.size(); ++i) sequences.push_back(runner->new_sequence());
  std::vector<std::vector<float>> got(all.size());
  for (bool more = true; more;) {
    more = false;
    std::vector<Runner::Item> items;
    std::vector<std::size_t> which;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::span<const TokenId> input = all[i].input;
      const std::size_t at = sequences[i].length();
      if (at == input.size()) continue;
      items.push_back(
          {sequences[i], input.subspan(at, std::min(input.size() - at, 1 + 2 * i)), Logits::all});
      which.push_back(i);
      more = true;
    }
    if (!more) break;
    std::vector<std::size_t> counts;
    counts.reserve(items.size());
    for (const auto& item : items) counts.push_back(item.tokens.size());
    const auto logits = runner->step(items);
    std::size_t row = 0;
    for (std::size_t j = 0; j < which.size(); ++j) {
      const auto part = logits.subspan(row, counts[j] * runner->config().vocab);
      got[which[j]].insert(got[which[j]].end(), part.begin(), part.end());
      row += part.size();
    }
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(got[i], want[i]) << "case " << i;
  }
}

TEST_P(EveryGolden, ForkAtEveryPositionContinuesAsIfAlone) {
  const auto runner = make_runner(GetParam());
  const std::vector<Case> all = cases(GetParam());
  const Case& c = all.back();
  Sequence straight = runner->new_sequence();
  const std::vector<float> want = all_logits(*runner, straight, c.input, 1000);
  const std::size_t vocab = runner->config().vocab;
  const std::vector<TokenId> other{1, 2, 3, 4, 5};

  Sequence parent = runner->new_sequence();
  for (std::size_t i = 0; i < c.input.size(); ++i) {
    Sequence child = parent.fork();
    Sequence stranger = parent.fork();
    runner->feed(stranger, other);  // writes where the child would read, were pages not copied
    const std::vector<float> got = all_logits(*runner, child, std::span(c.input).subspan(i), 1000);
    ASSERT_EQ(got, std::vector<float>(want.begin() + static_cast<long>(i * vocab), want.end()));
    runner->feed(parent, {&c.input[i], 1});
  }
}

TEST_P(EveryGolden, RollBackGivesTheStateOfAStraightRun) {
  for (const Compute compute : {Compute::f32, Compute::fast}) {
    const auto runner = make_runner(GetParam(), compute);
    const std::vector<Case> all = cases(GetParam());
    const std::vector<TokenId>& input = all.back().input;
    Sequence straight = runner->new_sequence();
    const std::vector<float> want = all_logits(*runner, straight, input, 1000);
    const std::size_t vocab = runner->config().vocab;
    for (std::size_t keep = 0; keep < input.size(); ++keep) {
      Sequence sequence = straight.fork();
      runner->rollback(sequence, input.size() - keep);
      ASSERT_EQ(sequence.length(), keep);
      const auto got = all_logits(*runner, sequence, std::span(input).subspan(keep), 1000);
      ASSERT_EQ(got, std::vector<float>(want.begin() + static_cast<long>(keep * vocab), want.end()))
          << "kept " << keep;
    }
    // A wrong draft is forgotten, and the original is untouched by its forks' roll-backs.
    Sequence draft = straight.fork();
    const std::vector<TokenId> wrong{9, 8, 7, 6};
    const std::vector<float> after = copy(runner->feed(straight, {&input[0], 1}));
    runner->feed(draft, wrong);
    runner->rollback(draft, wrong.size());
    ASSERT_EQ(copy(runner->feed(draft, {&input[0], 1})), after);
  }
}

// A draft is right for some tokens, or none, or all; whatever is taken back, at and beside the ends
// of pages, with forks and batch mates, the bits are those of a run that never saw it.
TEST_P(EveryGolden, TakingDraftsBackGivesTheStateOfAStraightRun) {
  for (const Compute compute : {Compute::f32, Compute::fast}) {
    const auto runner = make_runner(GetParam(), compute, 1);
    const std::size_t vocab = runner->config().vocab;
    std::vector<TokenId> text(3 * StateLayout::kPageTokens + 5);
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<TokenId>(i * i % 317 + 1);
    Sequence straight = runner->new_sequence();
    const std::vector<float> want = all_logits(*runner, straight, text, 1000);
    const auto rows = [&](std::size_t first, std::size_t last) {
      return std::vector<float>(want.begin() + static_cast<long>(first * vocab),
                                want.begin() + static_cast<long>(last * vocab));
    };
    Sequence sequence = runner->new_sequence();
    Sequence mate = runner->new_sequence();
    std::vector<Sequence> forks;
    for (std::size_t round = 0; sequence.length() + 8 < text.size(); ++round) {
      const std::size_t length = sequence.length();
      const std::size_t fed = 1 + (round % 7 == 0 ? 3 : 0);
      const std::size_t drafts = round % 8;
      const std::size_t right = round * 5 % (drafts + 1);
      std::vector<TokenId> tokens(text.begin() + static_cast<long>(length),
                                  text.begin() + static_cast<long>(length + fed + right));
      while (tokens.size() < fed + drafts) tokens.push_back(319 - static_cast<TokenId>(round % 2));
      if (round % 3 == 0) forks.push_back(sequence.fork());  // holds the last page, too
      const std::vector<Runner::Item> items{{mate, std::span(text).subspan(length, fed + right)},
                                            {sequence, tokens, Logits::last, drafts}};
      const std::vector<float> got = copy(runner->step(items));
      ASSERT_EQ(got.size(), (1 + 1 + drafts) * vocab);
      // Of the token before the draft and of what is right of it.
      ASSERT_EQ(std::vector<float>(got.begin() + static_cast<long>(vocab),
                                   got.begin() + static_cast<long>((2 + right) * vocab)),
                rows(length + fed - 1, length + fed + right));
      const Sequence whole = sequence.fork();  // holds the pages of what is taken back
      EXPECT_THROW(sequence.drop_drafts(drafts + 1), Error);
      sequence.drop_drafts(drafts - right);
      EXPECT_EQ(sequence.tokens(), mate.tokens());
      if (right < drafts) {
        EXPECT_THROW(sequence.drop_drafts(1), Error) << "only once";
      }
      forks.push_back(sequence.fork());
    }
    // Every fork goes on to the same end, though others wrote after the place where it left.
    for (Sequence& fork : forks) {
      const std::size_t length = fork.length();
      ASSERT_EQ(all_logits(*runner, fork, std::span(text).subspan(length), 5),
                rows(length, text.size()))
          << "from " << length;
    }
  }
}

TEST(Runner, ADraftComesAfterATokenThatStays) {
  const auto runner = make_runner("native");
  Sequence sequence = runner->new_sequence();
  const std::vector<TokenId> tokens{1, 2};
  const Runner::Item item{sequence, tokens, Logits::last, 2};
  EXPECT_THROW(runner->step({&item, 1}), Error);
  runner->feed(sequence, tokens);
  EXPECT_EQ(sequence.length(), 2U) << "the state is as before";
}

TEST_P(EveryGolden, RestoredSnapshotContinuesAsBefore) {
  const auto runner = make_runner(GetParam());
  const std::vector<TokenId> input = cases(GetParam()).back().input;
  const std::span<const TokenId> tokens = input;
  Sequence sequence = runner->new_sequence();
  runner->feed(sequence, tokens.first(5));
  const Sequence snapshot = sequence.fork();
  const auto first = copy(runner->feed(sequence, tokens.subspan(5)));
  sequence = snapshot.fork();
  EXPECT_EQ(copy(runner->feed(sequence, tokens.subspan(5))), first);
}

TEST(Runner, NativeAndLegacyAreBitIdentical) {
  for (const auto& [native, legacy] :
       {std::pair{"native", "legacy"}, std::pair{"native-sliding", "legacy-sliding"}}) {
    for (const Compute compute : {Compute::f32, Compute::fast}) {
      const auto a = make_runner(native, compute);
      const auto b = make_runner(legacy, compute);
      for (const Case& c : cases(native)) {
        Sequence x = a->new_sequence();
        Sequence y = b->new_sequence();
        ASSERT_EQ(all_logits(*a, x, c.input, 1000), all_logits(*b, y, c.input, 1000));
      }
    }
  }
}

/// Collects intermediates and compares each with the golden of its name.
struct Compare : Trace {
  explicit Compare(const SafetensorsFile& file) : goldens(file) {}

  void values(std::string_view name, std::size_t layer, Rows<const float> data, std::size_t rows,
              std::size_t width) override {
    const std::string full =
        name == "norm" ? "model.norm"
                       : "model.layers." + std::to_string(layer) + "." + std::string(name);
    std::vector<float> got;
    for (std::size_t r = 0; r < rows; ++r) got.insert(got.end(), data.row(r), data.row(r) + width);
    const TensorView& view = goldens.tensor(full);
    std::vector<float> want;
    if (view.dtype == DType::i64) {
      const auto* ids = reinterpret_cast<const std::int64_t*>(view.data);
      want.assign(ids, ids + view.elements());
    } else {
      want = floats(view);
    }
    expect_close(got, want, full);
    ++compared;
  }

  const SafetensorsFile& goldens;
  int compared = 0;
};

TEST(Runner, IntermediatesMatchTheReference) {
  const auto runner = make_runner("native");
  const SafetensorsFile file(golden("native") / "activations.safetensors");
  const TensorView& ids = file.tensor("input_ids");
  const auto* data = reinterpret_cast<const std::int64_t*>(ids.data);
  const std::vector<TokenId> input(data, data + ids.elements());
  Sequence sequence = runner->new_sequence();
  Compare compare(file);
  const Runner::Item item{sequence, input, Logits::all};
  const auto logits = copy(runner->step({&item, 1}, &compare));
  expect_close(logits, floats(file.tensor("logits")), "logits");
  EXPECT_EQ(compare.compared, 4 * 15 + 1) << "15 intermediates a layer and the final norm";
}

/// KL(p || q) of two rows of logits.
double divergence(const float* p, const float* q, std::size_t n) {
  double sum_p = 0;
  double sum_q = 0;
  for (std::size_t i = 0; i < n; ++i) {
    sum_p += std::exp(static_cast<double>(p[i]));
    sum_q += std::exp(static_cast<double>(q[i]));
  }
  double total = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double log_p = p[i] - std::log(sum_p);
    total += std::exp(log_p) * (log_p - (q[i] - std::log(sum_q)));
  }
  return total;
}

// In these random models the router's classes are close to equal, so rounding sends some tokens to
// another expert, which is another function: the mean is theirs, the median is the rounding's.
TEST(Runner, Bf16StaysCloseToF32WhereRoutingAgrees) {
  for (const std::string& name : kGoldens) {
    const auto runner = make_runner(name, Compute::fast, 2, false);
    const std::size_t vocab = runner->config().vocab;
    std::vector<double> values;
    for (const Case& c : cases(name)) {
      Sequence sequence = runner->new_sequence();
      const auto got = all_logits(*runner, sequence, c.input, 1000);
      for (std::size_t at = 0; at < got.size(); at += vocab) {
        values.push_back(divergence(c.logits.data() + at, got.data() + at, vocab));
      }
    }
    std::sort(values.begin(), values.end());
    EXPECT_LE(values[values.size() / 2], 1e-3) << name;
  }
}

TEST(Runner, RefusesWhatItCannotRunAndKeepsTheState) {
  const auto runner = make_runner("native");
  const std::vector<TokenId> good{1, 2, 3};
  const auto message = [&](std::span<const TokenId> tokens) -> std::string {
    Sequence sequence = runner->new_sequence();
    runner->feed(sequence, good);
    const auto before = copy(runner->feed(sequence, {&good[0], 1}));
    std::string text = "no error";
    try {
      const Runner::Item item{sequence, tokens};
      runner->step({&item, 1});
    } catch (const Error& e) {
      text = e.what();
    }
    runner->rollback(sequence, 1);
    EXPECT_EQ(copy(runner->feed(sequence, {&good[0], 1})), before);
    return text;
  };
  EXPECT_EQ(message(std::vector<TokenId>{1, 320}),
            "tokens: token id is outside the vocabulary: expected 0 to 319, found 320");
  EXPECT_EQ(message(std::vector<TokenId>{-1}),
            "tokens: token id is outside the vocabulary: expected 0 to 319, found -1");
  EXPECT_EQ(message(std::vector<TokenId>(5000, 1)),
            "context: the sequence would be longer than the model's context: expected at most 4096 "
            "tokens, found 5004 tokens");
  EXPECT_NE(message({}), "no error");
}

TEST(Sequence, AStepThatDidNotFinishMakesTheStateUnusable) {
  const auto runner = make_runner("native");
  Sequence sequence = runner->new_sequence();
  sequence.begin_step(3);
  EXPECT_THROW(sequence.fork(), Error);
  EXPECT_THROW(sequence.begin_step(1), Error);
  EXPECT_THROW(sequence.begin_rollback(0), Error);
}

}  // namespace
}  // namespace zaya
