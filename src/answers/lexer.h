#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace zaya::answers {

/// A piece of a mathematical answer, LaTeX or plain: both give the same tokens.
struct Token {
  enum class Kind {
    number,     ///< digits with at most one point, separators removed
    name,       ///< a variable (x, alpha), constant (pi, infinity) or function (sin, frac, sqrt)
    word,       ///< what is in \text{...}, and words that stand for a unit
    symbol,     ///< one of ( ) [ ] { } set{ set} + - * / ^ _ , = < > <= >= != ! | % degree ' ...
    separator,  ///< "and", "or", ";"
    end,
  };
  Kind kind;
  std::string text;
  bool space_before = false;
};

/// `thousands`: outside of brackets a comma before three digits is part of the number. Returns
/// nothing for what cannot be mathematics: words, unknown commands, too many tokens. Ends with a
/// token of kind end.
std::vector<Token> tokens_of(std::string_view text, bool thousands);

}  // namespace zaya::answers
