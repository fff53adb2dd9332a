#include "text/grammar/char_set.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string>

#include <fmt/format.h>

#include "text/utf8.h"

namespace zaya::grammar {
namespace {

constexpr char32_t kLast = 0x10ffff;
constexpr char32_t kFirstSurrogate = 0xd800;
constexpr char32_t kLastSurrogate = 0xdfff;

ByteSet byte_range(unsigned first, unsigned last) {
  ByteSet set;
  for (unsigned b = first; b <= last; ++b) set.set(b);
  return set;
}

// The encodings of a range of characters of one length, as a product of byte ranges where it is
// one, else cut in parts that are.
void cut_range(char32_t first, char32_t last, std::vector<std::vector<ByteSet>>& out) {
  std::string low;
  std::string high;
  append_utf8(low, first);
  append_utf8(high, last);
  // Of the trailing bytes, all but the last that differs must run over their whole range.
  for (std::size_t tail = low.size() - 1; tail > 0; --tail) {
    const char32_t mask = (char32_t{1} << (6 * tail)) - 1;
    if ((first & ~mask) == (last & ~mask)) continue;
    if ((first & mask) != 0) {
      cut_range(first, first | mask, out);
      return cut_range((first | mask) + 1, last, out);
    }
    if ((last & mask) != mask) {
      cut_range(first, (last & ~mask) - 1, out);
      return cut_range(last & ~mask, last, out);
    }
  }
  std::vector<ByteSet> sequence;
  for (std::size_t i = 0; i < low.size(); ++i) {
    sequence.push_back(
        byte_range(static_cast<unsigned char>(low[i]), static_cast<unsigned char>(high[i])));
  }
  out.push_back(std::move(sequence));
}

std::vector<std::vector<ByteSet>> sequences_of(const CharSet& set) {
  // ASCII is one set of bytes, however many ranges it has.
  std::vector<std::vector<ByteSet>> sequences;
  ByteSet ascii;
  for (const auto& [first, last] : set.ranges()) {
    for (char32_t c = first; c <= std::min<char32_t>(last, 0x7f); ++c) ascii.set(c);
  }
  if (ascii.any()) sequences.push_back({ascii});
  constexpr std::array<CharSet::Range, 3> kLengths = {
      CharSet::Range{0x80, 0x7ff}, {0x800, 0xffff}, {0x10000, kLast}};
  for (const auto& [first, last] : set.ranges()) {
    for (const auto& [least, most] : kLengths) {
      const char32_t a = std::max(first, least);
      const char32_t b = std::min(last, most);
      if (a <= b) cut_range(a, b, sequences);
    }
  }
  return sequences;
}

std::string escape_of(char32_t c) {
  constexpr std::string_view kShort = "\"\"\\\\\bb\ff\nn\rr\tt";
  for (std::size_t i = 0; i < kShort.size(); i += 2) {
    if (c == static_cast<unsigned char>(kShort[i])) return {'\\', kShort[i + 1]};
  }
  return fmt::format("\\u{:04x}", static_cast<std::uint32_t>(c));
}

bool needs_escape(char32_t c) {
  return c < 0x20 || c == '"' || c == '\\';
}

ByteSet bytes_in(std::string_view text) {
  ByteSet set;
  for (const char c : text) set.set(static_cast<unsigned char>(c));
  return set;
}

}  // namespace

CharSet CharSet::all() {
  return CharSet().complement();
}

void CharSet::add(char32_t first, char32_t last) {
  if (first > last) return;
  const auto begin = std::find_if(ranges_.begin(), ranges_.end(),
                                  [&](const Range& r) { return r.second + 1 >= first; });
  auto end = begin;
  for (; end != ranges_.end() && end->first <= last + 1; ++end) {
    first = std::min(first, end->first);
    last = std::max(last, end->second);
  }
  ranges_.insert(ranges_.erase(begin, end), {first, last});
}

void CharSet::add(const CharSet& other) {
  for (const auto& [first, last] : other.ranges_) add(first, last);
}

void CharSet::remove(char32_t first, char32_t last) {
  std::vector<Range> kept;
  for (const Range& r : ranges_) {
    if (r.first < first) kept.emplace_back(r.first, std::min<char32_t>(r.second, first - 1));
    if (r.second > last) kept.emplace_back(std::max<char32_t>(r.first, last + 1), r.second);
  }
  ranges_ = std::move(kept);
}

CharSet CharSet::complement() const {
  CharSet result;
  result.ranges_ = {{0, kFirstSurrogate - 1}, {kLastSurrogate + 1, kLast}};
  for (const auto& [first, last] : ranges_) result.remove(first, last);
  return result;
}

bool CharSet::contains(char32_t c) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [&](const Range& r) { return r.first <= c && c <= r.second; });
}

void write_character(Builder& builder, const CharSet& set, Encoding encoding) {
  CharSet raw = set;
  raw.remove(kFirstSurrogate, kLastSurrogate);
  std::vector<std::string> escapes;
  if (encoding == Encoding::json) {
    for (char32_t c = 0; c <= '\\'; ++c) {
      if (!needs_escape(c)) continue;
      if (set.contains(c)) escapes.push_back(escape_of(c));
      raw.remove(c, c);
    }
  }
  const auto sequences = sequences_of(raw);
  builder.either_of(sequences.size() + escapes.size(), [&](std::size_t i) {
    if (i < escapes.size()) return builder.literal(escapes[i]);
    for (const ByteSet& bytes : sequences[i - escapes.size()]) builder.bytes(bytes);
  });
}

void write_any_json_character(Builder& builder) {
  CharSet raw = CharSet(0x20, kLast);
  raw.remove('"', '"');
  raw.remove('\\', '\\');
  raw.remove(kFirstSurrogate, kLastSurrogate);
  const ByteSet hex = bytes_in("0123456789abcdefABCDEF");
  const ByteSet d = bytes_in("dD");
  const auto escape = [&](const ByteSet& first, const ByteSet& second) {
    builder.literal("\\u");
    for (const ByteSet& set : {first, second, hex, hex}) builder.bytes(set);
  };
  builder.either([&] { write_character(builder, raw, Encoding::raw); },
                 [&] {
                   builder.byte('\\');
                   builder.bytes(bytes_in("\"\\/bfnrt"));
                 },
                 [&] { escape(hex & ~d, hex); }, [&] { escape(d, bytes_in("01234567")); },
                 [&] {  // beyond U+FFFF: two surrogates
                   escape(d, bytes_in("89abAB"));
                   escape(d, bytes_in("cdefCDEF"));
                 });
}

}  // namespace zaya::grammar
