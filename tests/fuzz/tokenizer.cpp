#include "text/tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/utf8.h"

// A tokenizer.json, a zero byte, a text. Whatever the file says: an Error, or a tokenizer whose
// decoding is well-formed and the same in one go and token by token. The tests run this function
// over the corpus too.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = input.find('\0');
  const std::string_view text =
      end == std::string_view::npos ? "Hello <s>  w\xc3\xb6rld\n\xff" : input.substr(end + 1);
  try {
    const zaya::Tokenizer tokenizer = zaya::Tokenizer::parse(input.substr(0, end), "fuzz");
    std::vector<zaya::TokenId> ids = tokenizer.encode(text, true);
    if (tokenizer.encode(text, true) != ids) __builtin_trap();
    for (zaya::TokenId id = -1; id <= tokenizer.vocab_size() && id < 300; ++id) ids.push_back(id);
    for (const bool skip : {false, true}) {
      zaya::StreamDecoder decoder(tokenizer, skip);
      std::string stream;
      for (const zaya::TokenId id : ids) stream += decoder.push(id);
      stream += decoder.finish();
      if (zaya::find_invalid_utf8(stream) != std::string_view::npos) __builtin_trap();
      if (stream != tokenizer.decode(ids, skip)) __builtin_trap();
    }
  } catch (const zaya::Error&) {
  }
  return 0;
}
