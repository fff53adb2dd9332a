#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/text/random_schema.h"
#include "tests/text/tokenizer_data.h"
#include "tests/text/validate_json.h"
#include "text/grammar/constraint.h"
#include "text/grammar/json_schema.h"
#include "text/utf8.h"
#include "zaya/error.h"

namespace zaya {
namespace {

using grammar::compile_json_schema;
using grammar::Constraint;
using grammar::Grammar;
using grammar::TokenTrie;

constexpr std::string_view kTags[] = {"<think>", "</think>", "<zyphra_tool_call>",
                                      "</zyphra_tool_call>"};

std::shared_ptr<const TokenTrie> zaya_trie() {
  static const auto trie = std::make_shared<const TokenTrie>(test::zaya_tokenizer(), kTags);
  return trie;
}

Constraint constraint_of(const std::string& schema,
                         std::shared_ptr<const TokenTrie> trie = zaya_trie()) {
  return Constraint(std::make_shared<Grammar>(compile_json_schema(schema), std::move(trie)));
}

void feed(Constraint& constraint, std::string_view text) {
  for (const TokenId id : test::zaya_tokenizer().encode(text)) {
    ASSERT_TRUE(constraint.accept(id)) << test::zaya_tokenizer().token(id);
  }
}

TEST(TokenTrie, KnowsTheTextOfEachToken) {
  const Tokenizer& tokenizer = test::zaya_tokenizer();
  const auto trie = zaya_trie();
  EXPECT_EQ(trie->bytes(*tokenizer.find("▁the")), " the");
  EXPECT_EQ(trie->bytes(*tokenizer.find("<0xE2>")), "\xe2");
  for (const char* control : {"<bos>", "<eos>", "<|im_end|>", "<think>", "</think>", "<unused7>",
                              "<mask>", "<zyphra_tool_call>", "<start_of_image>"}) {
    ASSERT_TRUE(tokenizer.find(control)) << control;
    EXPECT_EQ(trie->bytes(*tokenizer.find(control)), "") << control;
  }
  EXPECT_EQ(trie->bytes(*tokenizer.find("<table>")), "<table>");
  EXPECT_EQ(trie->bytes(-1), "");
  EXPECT_EQ(trie->bytes(tokenizer.vocab_size()), "");
}

// The masks against the definition: each token alone, byte by byte, in a fresh automaton.
TEST(Constraint, MasksAreWhatTheGrammarAllows) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 20},
           "n": {"type": "integer"}, "any": {}}, "required": ["name"],
           "additionalProperties": {"type": "null"}})",
       {"", "{", "{\"", "{\"na", R"({"name)", R"({"name":)", R"({"name":")",
        R"({"name":"abcdefghijklmnop)", R"({"name":"\)", R"({"name":"\u00)", R"({"name":"x")",
        R"({"name":"x",)", R"({"name":"x","n":-)", R"({"name":"x","n":12)",
        R"({"name":"x","any":[{)", R"({"name":"x","any":1}})", "{\"name\":\"\xe2\x82",
        R"({"name":"x", "nx)"}},
      {R"({"anyOf": [{"type": "string", "maxLength": 3}, {"type": "string", "pattern": "^[a-f]+$"},
                     {"type": "string", "minLength": 9, "maxLength": 10}]})",
       {"\"", "\"ab", "\"abc", "\"abcd", "\"xyzxyz"}},
      {R"({"enum": ["red", "green", "a < b", 12, {"x": " y"}]})", {"", "\"", "\"gr", "1", "{"}},
      {R"({"type": "array", "items": {"type": "number"}})", {"[", "[1", "[1.", "[1, ", "[1e-"}},
      {R"({"format": "date-time"})", {"\"2024-0", "\"2024-02-29T1"}},
  };
  const auto trie = zaya_trie();
  for (const auto& [schema, texts] : cases) {
    for (const std::string& text : texts) {
      SCOPED_TRACE(schema + "\n" + text);
      Constraint constraint = constraint_of(schema);
      grammar::Automaton plain(compile_json_schema(schema));
      grammar::State* state = plain.start().get();
      for (const char c : text) {
        state = state == nullptr ? nullptr : plain.step(*state, static_cast<unsigned char>(c));
        const auto byte =
            test::zaya_tokenizer().find(fmt::format("<0x{:02X}>", static_cast<unsigned char>(c)));
        if (state != nullptr) {
          ASSERT_TRUE(constraint.accept(*byte));
        }
      }
      if (state == nullptr) continue;  // a text too many: what follows was refused too
      const auto mask = constraint.mask();
      std::size_t wrong = 0;
      std::size_t allowed = 0;
      for (TokenId id = 0; id < test::zaya_tokenizer().vocab_size(); ++id) {
        const std::string_view bytes = trie->bytes(id);
        grammar::State* after = bytes.empty() ? nullptr : state;
        for (const char c : bytes) {
          if (after != nullptr) after = plain.step(*after, static_cast<unsigned char>(c));
        }
        allowed += after != nullptr ? 1 : 0;
        wrong += (after != nullptr) != mask->contains(id) ? 1 : 0;
      }
      EXPECT_EQ(wrong, 0U);
      EXPECT_EQ(mask->ids().size(), allowed);
      EXPECT_EQ(constraint.can_end(), state->accepting);
    }
  }
}

TEST(Constraint, AppliesToLogits) {
  Constraint constraint = constraint_of(R"({"type": "object"})");
  const std::vector<float> logits(zaya_trie()->vocab() + 100, 1.5F);
  for (const char* text : {"", "{", "\"abc"}) {
    feed(constraint, text);
    const auto mask = constraint.mask();
    std::vector<float> allowed(logits.size());
    mask->apply(logits, allowed);
    for (std::size_t i = 0; i < allowed.size(); ++i) {
      ASSERT_EQ(allowed[i] == 1.5F, mask->contains(static_cast<TokenId>(i))) << i;
    }
  }
}

// However a text is cut into tokens, it leads to the same state.
TEST(Constraint, DoesNotDependOnHowATextIsCut) {
  const std::string schema = R"({"type": "object", "properties": {"a": {"type": "string"},
    "b": {"type": "array", "items": {"type": "number", "minimum": -10, "maximum": 100}}}})";
  const std::string text =
      "{\n  \"a\": \"x \\\"y\\\" \\u00e9é😀 <b>1</b> ok\",\n  \"b\": [1, 22.5, -3]\n}";
  const auto grammar = std::make_shared<Grammar>(compile_json_schema(schema), zaya_trie());
  const Tokenizer& tokenizer = test::zaya_tokenizer();
  Random random(3);
  for (int round = 0; round < 200; ++round) {
    Constraint constraint(grammar);
    for (std::size_t at = 0; at < text.size();) {
      // A random token of those that the text goes on with, or the byte's own.
      std::vector<TokenId> fits{
          *tokenizer.find(fmt::format("<0x{:02X}>", static_cast<unsigned char>(text[at])))};
      for (std::size_t n = 1; n <= 12 && at + n <= text.size(); ++n) {
        std::string spelling = text.substr(at, n);
        for (std::size_t i = 0; (i = spelling.find(' ', i)) != std::string::npos;) {
          spelling.replace(i, 1, "▁");
        }
        const auto id = tokenizer.find(spelling);
        if (id && zaya_trie()->bytes(*id) == text.substr(at, n)) fits.push_back(*id);
      }
      const TokenId id = fits[random.next() % fits.size()];
      ASSERT_TRUE(constraint.mask()->contains(id)) << text.substr(0, at);
      ASSERT_TRUE(constraint.accept(id));
      at += zaya_trie()->bytes(id).size();
      ASSERT_EQ(constraint.can_end(), at == text.size());
    }
    EXPECT_TRUE(constraint.finished());
  }
}

TEST(Constraint, IsAValue) {
  Constraint a = constraint_of(R"({"type": "array", "items": {"type": "integer"}})");
  feed(a, "[1,");
  Constraint b = a;
  feed(a, "2]");
  EXPECT_TRUE(a.finished());
  EXPECT_FALSE(b.can_end());
  feed(b, "34,5");
  EXPECT_FALSE(b.can_end());
  EXPECT_FALSE(b.accept(*test::zaya_tokenizer().find("}")));
  feed(b, "]");
  EXPECT_TRUE(b.finished());
  EXPECT_TRUE(b.mask()->empty());
}

TEST(Constraint, NumbersEndWhenTheyLike) {
  Constraint constraint = constraint_of(R"({"type": "integer"})");
  feed(constraint, "12");
  EXPECT_TRUE(constraint.can_end());
  EXPECT_FALSE(constraint.finished());
}

TEST(Constraint, SaysWhenTheVocabularyLacksWhatItNeeds) {
  Json json = test::small_tokenizer_json();
  json["model"]["byte_fallback"] = false;  // only "a" to "e" and their like are left
  json["decoder"]["decoders"].erase(1);
  const Tokenizer tokenizer = test::make_tokenizer(json);
  const auto trie = std::make_shared<const TokenTrie>(tokenizer, kTags);
  try {
    constraint_of("{}", trie).mask();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("no token of the vocabulary"), std::string::npos);
  }
}

// Two readings at each level: the states grow with the depth, and are given up in time.
TEST(Constraint, AmbiguousGrammarsStayBounded) {
  Constraint constraint = constraint_of(R"({"anyOf": [
      {"type": "object", "properties": {"a": {"$ref": "#"}}},
      {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {}}}, {"type": "null"}]})");
  const std::vector<TokenId> deeper = test::zaya_tokenizer().encode("{\"a\":");
  int depth = 0;
  while (std::all_of(deeper.begin(), deeper.end(),
                     [&](TokenId id) { return constraint.accept(id); })) {
    ++depth;
    EXPECT_FALSE(constraint.mask()->empty());
  }
  // As deep as it can be followed; what is open can still be closed.
  EXPECT_GE(depth, 8);
  EXPECT_LE(depth, 60);
  EXPECT_FALSE(constraint.mask()->empty());
}

TEST(Constraint, MemoryIsBounded) {
  const auto grammar = std::make_shared<Grammar>(
      compile_json_schema(R"({"type": "array", "items": {"type": "string", "maxLength": 1000}})"),
      zaya_trie());
  Constraint constraint(grammar);
  feed(constraint, "[");
  for (int i = 0; i < 12; ++i) {
    feed(constraint, i > 0 ? ",\"" : "\"");
    for (int n = 0; n < 240; ++n) {
      constraint.mask();
      feed(constraint, "a");
    }
    feed(constraint, "\"");
    EXPECT_LT(grammar->bytes(), Grammar::kMostBytes + (std::size_t{8} << 20));
  }
  feed(constraint, "]");
  EXPECT_TRUE(constraint.finished());
}

/// Draws tokens without a model: of what is allowed any, or for a share of the tokens (all, once
/// the text is long) one of those that end texts, where one is allowed.
class RandomWriter {
 public:
  explicit RandomWriter(std::uint64_t seed) : random_(seed) {
    for (TokenId id = 0; id < test::zaya_tokenizer().vocab_size(); ++id) {
      const std::string_view text = zaya_trie()->bytes(id);
      if (!text.empty() && text.find_first_not_of("\"]}:bx\\") == std::string_view::npos) {
        closers_.push_back(id);
      }
    }
  }

  std::string write(Constraint constraint) {
    std::vector<TokenId> ids;
    while (!constraint.finished() && ids.size() < 20'000) {
      if (constraint.can_end() && random_.uniform() < 0.3) break;
      const TokenId id = draw(*constraint.mask(), random_.uniform() < 0.3 || ids.size() > 200);
      EXPECT_TRUE(constraint.accept(id));
      ids.push_back(id);
    }
    EXPECT_TRUE(constraint.can_end());
    return test::zaya_tokenizer().decode(ids);
  }

 private:
  TokenId draw(const grammar::TokenMask& mask, bool closer) {
    std::vector<TokenId> allowed;
    if (closer) {
      std::copy_if(closers_.begin(), closers_.end(), std::back_inserter(allowed),
                   [&](TokenId id) { return mask.contains(id); });
    }
    if (allowed.empty()) allowed = mask.ids();
    return allowed[random_.next() % allowed.size()];
  }

  Random random_;
  std::vector<TokenId> closers_;
};

// Several hundred schemas, each followed by tokens drawn at random, judged by another's validator.
TEST(Constraint, RandomTextsSatisfyRandomSchemas) {
  std::vector<Json> cases;
  RandomWriter writer(11);
  constexpr std::uint64_t kSchemas = 400;
  std::size_t refused = 0;
  for (std::uint64_t seed = 0; seed < kSchemas; ++seed) {
    const Json schema = test::RandomSchema(seed).draw();
    std::shared_ptr<Grammar> grammar;
    try {
      grammar = std::make_shared<Grammar>(compile_json_schema(schema.dump()), zaya_trie());
    } catch (const Error& error) {
      // Drawn so that nothing satisfies it.
      EXPECT_NE(std::string(error.what()).find("nothing can ever satisfy"), std::string::npos)
          << error.what() << "\n"
          << schema;
      ++refused;
      continue;
    }
    const std::string text = writer.write(Constraint(grammar));
    EXPECT_EQ(find_invalid_utf8(text), std::string::npos) << text;
    cases.push_back({{"schema", schema}, {"text", text}});
  }
  EXPECT_LT(refused, kSchemas / 10);
  test::expect_valid(cases);
}

}  // namespace
}  // namespace zaya
