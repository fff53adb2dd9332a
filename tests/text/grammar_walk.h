#pragma once

#include <string>
#include <string_view>

#include "text/grammar/automaton.h"
#include "text/grammar/json_schema.h"

namespace zaya::test {

/// The state after a text; null when the grammar does not allow it.
inline grammar::State* walk(grammar::Automaton& automaton, std::string_view text) {
  grammar::State* state = automaton.start().get();
  for (std::size_t i = 0; i < text.size() && state != nullptr; ++i) {
    state = automaton.step(*state, static_cast<unsigned char>(text[i]));
  }
  return state;
}

/// Whether a whole text is in the language of a grammar.
inline bool takes(grammar::Program program, std::string_view text) {
  grammar::Automaton automaton(std::move(program));
  const grammar::State* state = walk(automaton, text);
  return state != nullptr && state->accepting;
}

}  // namespace zaya::test
