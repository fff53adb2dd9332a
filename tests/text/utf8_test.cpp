#include "text/utf8.h"

#include <gtest/gtest.h>

namespace zaya {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

TEST(Utf8, FindsTheFirstBadByte) {
  EXPECT_EQ(find_invalid_utf8(""), kNone);
  EXPECT_EQ(find_invalid_utf8("a\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x98\x80"), kNone);
  EXPECT_EQ(find_invalid_utf8("ab\xff"), 2U);
  EXPECT_EQ(find_invalid_utf8("\xc3"), 0U);              // cut off
  EXPECT_EQ(find_invalid_utf8("a\xc0\x80"), 1U);         // overlong
  EXPECT_EQ(find_invalid_utf8("\xed\xa0\x80"), 0U);      // surrogate
  EXPECT_EQ(find_invalid_utf8("\xf4\x90\x80\x80"), 0U);  // above U+10FFFF
  EXPECT_EQ(find_invalid_utf8("\x80"), 0U);
}

// The examples of Unicode 3.9, tables 3-8 to 3-11.
TEST(Utf8, ReplacesEachMaximalPart) {
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(replace_invalid_utf8("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replace_invalid_utf8("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(replace_invalid_utf8("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42"),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(replace_invalid_utf8("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"), r + r + r + r + "A");
}

TEST(Utf8, EncodesAndDecodesEveryLength) {
  for (const char32_t code : {U'a', U'\u00e9', U'\u6f22', U'\U0001f600', U'\U0010ffff'}) {
    std::string text = "x";
    append_utf8(text, code);
    EXPECT_EQ(find_invalid_utf8(text), kNone);
    EXPECT_EQ(last_code_point(text), code);
    std::size_t position = 1;
    EXPECT_EQ(next_code_point(text, position), code);
    EXPECT_EQ(position, text.size());
  }
}

TEST(Utf8, KnowsSpacesAndWordCharacters) {
  for (const char32_t c : {U' ', U'\t', U'\n', U'\u00a0', U'\u2003', U'\u3000'}) {
    EXPECT_TRUE(is_white_space(c)) << std::hex << static_cast<unsigned>(c);
    EXPECT_FALSE(is_word_character(c)) << std::hex << static_cast<unsigned>(c);
  }
  EXPECT_FALSE(is_white_space(U'\u200b'));
  EXPECT_FALSE(is_white_space(U'\u2581'));
  // Letter, digit, underscore, letter with accent, mark, CJK, circled letter, joiner, last range.
  for (const char32_t c : {U'a', U'0', U'_', U'\u00e9', U'\u0301', U'\u6f22', U'\u24b6', U'\u200d',
                           U'\U000e0100', U'\U000e01ef'}) {
    EXPECT_TRUE(is_word_character(c)) << std::hex << static_cast<unsigned>(c);
  }
  for (const char32_t c : {U'\0', U'/', U':', U'-', U'\u00bd', U'\u2581', U'\U0001f600',
                           U'\U000e01f0', U'\U0010ffff'}) {
    EXPECT_FALSE(is_word_character(c)) << std::hex << static_cast<unsigned>(c);
  }
}

TEST(Utf8, PiecesGiveTheSameReplacements) {
  const std::string text =
      "a\xc3\xa9\xf0\x9f\x98\x80\xff\xe2\x82(\xf0\x9f\xc3\xed\xa0\x80\xc0\x80\xf4\x8f";
  for (std::size_t i = 0; i <= text.size(); ++i) {
    for (std::size_t k = i; k <= text.size(); ++k) {
      Utf8Stream stream;
      std::string out = stream.push(text.substr(0, i));
      out += stream.push(text.substr(i, k - i));
      out += stream.push(text.substr(k));
      out += stream.finish();
      EXPECT_EQ(out, replace_invalid_utf8(text)) << i << ' ' << k;
    }
  }
  Utf8Stream stream;
  EXPECT_EQ(stream.push("a\xf0\x9f\x98"), "a");
  EXPECT_EQ(stream.push("\x80"), "\xf0\x9f\x98\x80");
}

}  // namespace
}  // namespace zaya
