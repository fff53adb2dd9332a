#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "text/grammar/automaton.h"
#include "text/grammar/json_schema.h"
#include "text/utf8.h"
#include "zaya/error.h"

namespace zaya::test {

/// A byte, a JSON Schema. Whatever the schema says: an Error, or a grammar from whose every state
/// something can follow until the text ends, and whose texts are JSON; traps when it is not so. The
/// byte chooses how to go on. For the fuzz target, and for the tests over its corpus.
inline void check_json_schema(std::string_view input) {
  if (input.empty()) return;
  const auto choice = static_cast<unsigned char>(input.front());
  try {
    grammar::Automaton automaton(grammar::compile_json_schema(
        input.substr(1), "fuzz",
        choice % 2 == 0 ? grammar::Unsupported::refuse : grammar::Unsupported::ignore));
    grammar::State* state = automaton.start().get();
    std::string text;
    for (std::size_t n = 0; n < 300 && !(state->accepting && n % 3 == 0); ++n) {
      grammar::State* next = nullptr;
      // Bytes that close what is open come first, in the end.
      const std::string_view closing = "\"]},:0enulaTZ-";
      for (std::size_t i = 0; i < closing.size() + 256 && next == nullptr; ++i) {
        const std::size_t b = n < 100              ? (i * 89 + choice * 31U + n * 7) % 256
                              : i < closing.size() ? static_cast<unsigned char>(closing[i])
                                                   : i - closing.size();
        next = automaton.step(*state, static_cast<unsigned char>(b));
        if (next != nullptr) text += static_cast<char>(b);
      }
      if (next == nullptr) {
        if (!state->accepting && !automaton.take_overflow()) __builtin_trap();
        break;
      }
      state = next;
      if (automaton.work() > 2'000'000) return;
    }
    if (!state->accepting) return;
    if (find_invalid_utf8(text) != std::string_view::npos) __builtin_trap();
    if (!Json::accept(text)) __builtin_trap();
  } catch (const Error&) {  // the right answer to a bad schema
    return;
  }
}

}  // namespace zaya::test
