#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"
#include "text/utf8.h"
#include "zaya/error.h"

namespace zaya::test {

/// A tokenizer.json, a zero byte, a text. Whatever the file says: an Error, or a tokenizer whose
/// decoding is well-formed and the same in one go and token by token; traps when it is not so. For
/// the fuzz target, and for the tests over its corpus.
inline void check_tokenizer(std::string_view input) {
  const std::size_t end = input.find('\0');
  const std::string_view text =
      end == std::string_view::npos ? "Hello <s>  w\xc3\xb6rld\n\xff" : input.substr(end + 1);
  try {
    const Tokenizer tokenizer = Tokenizer::parse(input.substr(0, end), "fuzz");
    std::vector<TokenId> ids = tokenizer.encode(text, true);
    if (tokenizer.encode(text, true) != ids) __builtin_trap();
    for (TokenId id = -1; id <= tokenizer.vocab_size() && id < 300; ++id) ids.push_back(id);
    for (const bool skip : {false, true}) {
      StreamDecoder decoder(tokenizer, skip);
      std::string stream;
      for (const TokenId id : ids) stream += decoder.push(id);
      stream += decoder.finish();
      if (find_invalid_utf8(stream) != std::string_view::npos) __builtin_trap();
      if (stream != tokenizer.decode(ids, skip)) __builtin_trap();
    }
  } catch (const Error&) {  // the right answer to a bad file
    return;
  }
}

}  // namespace zaya::test
