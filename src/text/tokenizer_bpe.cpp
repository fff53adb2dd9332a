#include "text/tokenizer_bpe.h"

#include <algorithm>
#include <functional>
#include <limits>

#include <fmt/format.h>

#include "text/utf8.h"

namespace zaya {
namespace {

constexpr std::uint32_t kNoMerge = PairMap::kMissing;
constexpr std::uint32_t kNoSymbol = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t kCodePointBlocks = 0x110000 >> 8;
// Up to here finding the lowest rank by looking at all of them beats the heap.
constexpr std::size_t kLongestScan = 32;

// Heap entry: the lowest rank is on top, the leftmost of equal ones first.
std::uint64_t heap_entry(std::uint32_t rank, std::uint32_t position) {
  return (static_cast<std::uint64_t>(rank) << 32) | position;
}

}  // namespace

Bpe::Bpe(const Vocabulary& vocabulary, Options options)
    : options_(options),
      blocks_(kCodePointBlocks),
      characters_(256, Vocabulary::kNone),
      whole_(std::make_unique<std::atomic<Whole>[]>(static_cast<std::size_t>(vocabulary.size()))),
      size_(vocabulary.size()) {
  for (TokenId id = 0; id < size_; ++id) {
    const std::string_view text = vocabulary.text(id);
    whole_[id].store(text.empty() ? Whole::outside : Whole::unknown, std::memory_order_relaxed);
    if (text.empty()) continue;
    std::size_t end = 0;
    const char32_t code_point = next_code_point(text, end);
    if (end == text.size()) add_character(code_point, id);
  }
  bool all_bytes = true;
  for (unsigned byte = 0; byte < bytes_.size(); ++byte) {
    bytes_[byte] = vocabulary.find(fmt::format("<0x{:02X}>", byte));
    all_bytes = all_bytes && bytes_[byte] != Vocabulary::kNone;
  }
  // A dropped character leaves its neighbours next to each other: a cut there would be wrong.
  may_cut_ = options_.unknown != Vocabulary::kNone || (options_.byte_fallback && all_bytes);
}

void Bpe::add_character(char32_t code_point, TokenId id) {
  std::uint16_t& block = blocks_[code_point >> 8];
  if (block == 0) {
    block = static_cast<std::uint16_t>(characters_.size() >> 8);
    characters_.resize(characters_.size() + 256, Vocabulary::kNone);
  }
  characters_[(static_cast<std::size_t>(block) << 8) | (code_point & 0xff)] = id;
}

void Bpe::reserve_merges(std::size_t count) {
  ranks_.reserve(count);
  merged_.reserve(count);
}

void Bpe::add_merges(std::span<const Merge> merges) {
  for (const Merge& merge : merges) ranks_.prefetch(merge.left, merge.right);
  // Cuts are made around unknown characters: right only if what stands for them never merges.
  const auto stands_for_unknown = [&](TokenId id, std::string_view text) {
    return id == options_.unknown ||
           (text.starts_with("<0x") && std::find(bytes_.begin(), bytes_.end(), id) != bytes_.end());
  };
  for (const Merge& merge : merges) {
    ranks_.set(merge.left, merge.right, static_cast<std::uint32_t>(merged_.size()));
    merged_.push_back(merge.merged);
    std::size_t end = 0;
    touching_.set(last_code_point(merge.left_text), next_code_point(merge.right_text, end), 0);
    if (stands_for_unknown(merge.left, merge.left_text) ||
        stands_for_unknown(merge.right, merge.right_text)) {
      may_cut_ = false;
    }
  }
}

void Bpe::encode(const Vocabulary& vocabulary, std::string_view text, Scratch& scratch,
                 std::vector<TokenId>& out) const {
  if (options_.ignore_merges) {
    const TokenId id = vocabulary.find(text);
    if (id != Vocabulary::kNone && id < size_ &&
        whole_[id].load(std::memory_order_relaxed) != Whole::outside) {
      out.push_back(id);
      return;
    }
  }
  if (!may_cut_) return encode_uncut(text, scratch, out);

  bool pending = false;  // an unknown token that further unknown characters may fuse with
  std::size_t begin = 0;
  char32_t before = 0;
  TokenId first = Vocabulary::kNone;  // token of the piece's only character, kNone if it has more
  const auto end_piece = [&](std::size_t end) {
    if (begin == end) return;
    if (pending) out.push_back(options_.unknown);
    pending = false;
    if (first != Vocabulary::kNone) {
      out.push_back(first);
    } else {
      encode_piece(vocabulary, text.substr(begin, end - begin), scratch, out);
    }
  };
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t here = i;
    const char32_t code_point = next_code_point(text, i);
    const TokenId token = character_token(code_point);
    if (token == Vocabulary::kNone) {
      end_piece(here);
      encode_unknown(text.substr(here, i - here), pending, out);
      begin = i;
    } else if (here == begin) {
      first = token;
    } else if (touching_.contains(before, code_point)) {
      first = Vocabulary::kNone;
    } else {
      end_piece(here);
      begin = here;
      first = token;
    }
    before = code_point;
  }
  end_piece(text.size());
  if (pending) out.push_back(options_.unknown);
}

// Bytes go out at once while an unknown token waits for the next known character: the order
// Hugging Face's library gives when only some bytes have tokens.
void Bpe::encode_unknown(std::string_view character, bool& pending,
                         std::vector<TokenId>& out) const {
  const auto token_of = [&](char byte) { return bytes_[static_cast<unsigned char>(byte)]; };
  if (options_.byte_fallback && std::all_of(character.begin(), character.end(), [&](char byte) {
        return token_of(byte) != Vocabulary::kNone;
      })) {
    std::transform(character.begin(), character.end(), std::back_inserter(out), token_of);
  } else if (options_.unknown != Vocabulary::kNone) {
    if (pending && !options_.fuse_unknown) out.push_back(options_.unknown);
    pending = true;
  }
}

void Bpe::encode_piece(const Vocabulary& vocabulary, std::string_view piece, Scratch& scratch,
                       std::vector<TokenId>& out) const {
  const TokenId id = vocabulary.find(piece);
  const bool in_model = id != Vocabulary::kNone && id < size_;
  const Whole whole = in_model ? whole_[id].load(std::memory_order_relaxed) : Whole::outside;
  if (whole == Whole::yes) {
    out.push_back(id);
    return;
  }
  scratch.symbols.clear();
  for (std::size_t i = 0; i < piece.size();) {
    scratch.symbols.push_back({.id = character_token(next_code_point(piece, i))});
  }
  const std::size_t size = out.size();
  merge(scratch, out);
  if (whole == Whole::unknown) {
    const bool yes = out.size() == size + 1 && out.back() == id;
    whole_[id].store(yes ? Whole::yes : Whole::no, std::memory_order_relaxed);
  }
}

void Bpe::encode_uncut(std::string_view text, Scratch& scratch, std::vector<TokenId>& out) const {
  std::vector<TokenId> initial;
  bool pending = false;
  const auto flush = [&] {
    if (pending) initial.push_back(options_.unknown);
    pending = false;
  };
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t here = i;
    const TokenId token = character_token(next_code_point(text, i));
    if (token == Vocabulary::kNone) {
      encode_unknown(text.substr(here, i - here), pending, initial);
    } else {
      flush();
      initial.push_back(token);
    }
  }
  flush();
  scratch.symbols.clear();
  for (const TokenId id : initial) scratch.symbols.push_back({.id = id});
  merge(scratch, out);
}

void Bpe::merge(Scratch& scratch, std::vector<TokenId>& out) const {
  auto& symbols = scratch.symbols;
  const auto count = static_cast<std::uint32_t>(symbols.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    symbols[i].previous = i == 0 ? kNoSymbol : i - 1;
    symbols[i].next = i + 1 == count ? kNoSymbol : i + 1;
    rank_pair(symbols, i);
  }
  if (count <= kLongestScan) {
    merge_by_scan(symbols);
  } else {
    merge_by_heap(scratch);
  }
  for (std::uint32_t i = 0; i < symbols.size(); i = symbols[i].next) out.push_back(symbols[i].id);
}

void Bpe::rank_pair(std::vector<Scratch::Symbol>& symbols, std::uint32_t left) const {
  Scratch::Symbol& symbol = symbols[left];
  symbol.rank =
      symbol.next == kNoSymbol ? kNoMerge : ranks_.find(symbol.id, symbols[symbol.next].id);
}

// Symbol `left` swallows the one after it; the list and the ranks around it follow.
void Bpe::join(std::vector<Scratch::Symbol>& symbols, std::uint32_t left) const {
  Scratch::Symbol& symbol = symbols[left];
  Scratch::Symbol& right = symbols[symbol.next];
  symbol.id = merged_[symbol.rank];
  symbol.next = right.next;
  right.rank = kNoMerge;  // whoever still has it on a heap sees that it is gone
  if (symbol.next != kNoSymbol) symbols[symbol.next].previous = left;
  rank_pair(symbols, left);
  if (symbol.previous != kNoSymbol) rank_pair(symbols, symbol.previous);
}

void Bpe::merge_by_scan(std::vector<Scratch::Symbol>& symbols) const {
  for (;;) {
    std::uint32_t best = kNoSymbol;
    std::uint32_t lowest = kNoMerge;
    for (std::uint32_t i = 0; i < symbols.size(); i = symbols[i].next) {
      if (symbols[i].rank < lowest) {
        lowest = symbols[i].rank;
        best = i;
      }
    }
    if (best == kNoSymbol) return;
    join(symbols, best);
  }
}

void Bpe::merge_by_heap(Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  heap.clear();
  for (std::uint32_t i = 0; i < symbols.size(); ++i) {
    if (symbols[i].rank != kNoMerge) heap.push_back(heap_entry(symbols[i].rank, i));
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto push = [&](std::uint32_t i) {
    if (i == kNoSymbol || symbols[i].rank == kNoMerge) return;
    heap.push_back(heap_entry(symbols[i].rank, i));
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    const std::uint64_t top = heap.front();
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.pop_back();
    const auto at = static_cast<std::uint32_t>(top);
    // Stale when the pair here has changed since: a pair has one rank, and no two share one.
    if (symbols[at].rank != static_cast<std::uint32_t>(top >> 32)) continue;
    join(symbols, at);
    push(symbols[at].previous);
    push(at);
  }
}

}  // namespace zaya
