#include "rsa/settings.h"

#include <gtest/gtest.h>

#include "zaya/error.h"

namespace zaya::rsa {
namespace {

TEST(RsaSettings, PresetsAreTheReports) {
  struct Row {
    const char* name;
    std::size_t rounds, population, beta;
  };
  for (const Row& row :
       {Row{"light", 2, 8, 8192}, Row{"recommended", 2, 16, 16384}, Row{"headline", 2, 16, 40960},
        Row{"apex-high", 8, 16, 16384}, Row{"extra-high", 8, 32, 32768}}) {
    const Settings s = preset(row.name);
    EXPECT_EQ(s.rounds, row.rounds) << row.name;
    EXPECT_EQ(s.population, row.population) << row.name;
    EXPECT_EQ(s.beta, row.beta) << row.name;
    EXPECT_EQ(s.subset, 4U);
    EXPECT_EQ(s.tau, 4096U);
    EXPECT_EQ(s.final_tokens, 40960U);
    EXPECT_EQ(s.sampling_of(0), (Sampling{1.0, 1.0, 0, 0.0}));
    EXPECT_NO_THROW(validate(s));
  }
  EXPECT_EQ(preset_names().size(), 5U);
  EXPECT_THROW(preset("High"), Error);
}

TEST(RsaSettings, EffortsMapToPresets) {
  EXPECT_EQ(effort_preset("low"), "light");
  EXPECT_EQ(effort_preset("medium"), "recommended");
  EXPECT_EQ(effort_preset("high"), "headline");
  EXPECT_EQ(effort_preset("xhigh"), "extra-high");
  EXPECT_THROW(effort_preset("max"), Error);
}

TEST(RsaSettings, RoundsAreAggregations) {
  Settings s{.rounds = 2, .population = 16};
  EXPECT_EQ(s.stages(), 3U);
  EXPECT_EQ(s.generations_from(0), 48U);
  s.selection = Selection::single;
  EXPECT_EQ(s.width(1), 16U);
  EXPECT_EQ(s.width(2), 1U);
  EXPECT_EQ(s.generations_from(1), 17U);
  s.rounds = 0;
  EXPECT_EQ(s.generations_from(0), 1U);
}

TEST(RsaSettings, RefusesWhatContradictsItself) {
  const auto refused = [](auto&& change, const std::string& where) {
    Settings s;
    change(s);
    try {
      validate(s);
      ADD_FAILURE() << where;
    } catch (const Error& e) {
      EXPECT_EQ(e.detail().where, where);
    }
  };
  refused([](Settings& s) { s.population = 0; }, "population");
  refused([](Settings& s) { s.subset = 17; }, "subset");
  refused([](Settings& s) { s.rounds = 1001; }, "rounds");
  refused([](Settings& s) { s.tau = s.beta + 1; }, "tau");
  refused([](Settings& s) { s.carry = Carry::own_tail; }, "subset");
  refused([](Settings& s) { s.sampling.clear(); }, "sampling");
  refused([](Settings& s) { s.sampling[0].top_p = 0.0; }, "top_p");
  refused([](Settings& s) { s.final_sampling = Sampling{.temperature = -1}; }, "temperature");
  refused([](Settings& s) { s.budget_tokens = 47; }, "budget_tokens");
}

TEST(RsaSettings, JsonKeepsAll) {
  Settings s = preset("extra-high");
  s.carry = Carry::answer_or_tail;
  s.selection = Selection::pick;
  s.sampling = {{0.5, 0.9, 3, 0.1}, {}};
  s.final_sampling = Sampling{0.6, 0.95, 40, 0.0};
  s.final_think_tokens = 1000;
  s.budget_tokens = 5'000'000;
  s.seed = 7;
  EXPECT_EQ(settings_from_json(to_json(s), "test"), s);
  EXPECT_EQ(settings_from_json(to_json(Settings{}), "test"), Settings{});
  const Settings patched = settings_from_json(
      parse_json(R"({"preset": "light", "rounds": 5, "selection": "all"})", "test"), "test",
      {.seed = 3});
  EXPECT_EQ(patched.rounds, 5U);
  EXPECT_EQ(patched.population, 8U);
  EXPECT_EQ(patched.seed, 3U);
  for (const char* bad :
       {R"({"round": 2})", R"({"rounds": -1})", R"({"rounds": "2"})", R"({"carry": "x"})",
        R"({"preset": "x"})", R"({"sampling": 3})", R"({"sampling": [{"temp": 1}]})", "[]", "1"}) {
    EXPECT_THROW(settings_from_json(parse_json(bad, "test"), "test"), Error) << bad;
  }
}

}  // namespace
}  // namespace zaya::rsa
