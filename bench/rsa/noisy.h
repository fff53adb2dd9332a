#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "rsa/generator.h"

namespace zaya::bench {

/// A generator that errs at a known rate, to see what an algorithm makes of errors. A puzzle has
/// `parts` independent parts, each with one right value of ten; only all of them together are
/// right.
///
/// A fresh solution gets a part right with a probability of its own (uniform in [easiest, hardest]
/// over parts); half of its mistakes at a part are the same tempting value, the others any.
/// Shown candidates, it takes each part that it can read in them from the most frequent value
/// (chance decides between equals) with probability `aggregates`, and else works it out afresh. It
/// knows nothing but its prompt: what was cut off is lost.
struct Noise {
  std::size_t parts = 8;
  double hardest = 0.35;
  double easiest = 0.95;
  double aggregates = 0.9;
};

struct Puzzle {
  std::string text;  ///< as the prompt has it, with its number
  std::string answer;
  std::vector<int> right = {};  ///< values of the parts
  std::vector<int> tempting = {};
  std::vector<double> chance = {};  ///< of the right one in a fresh solution
};
Puzzle make_puzzle(std::size_t number, const Noise& noise, std::uint64_t seed);

/// What it writes: a long reasoning that ends with its parts, then the boxed answer.
rsa::Output solve_noisily(const rsa::Call& call, const std::vector<Puzzle>& puzzles,
                          const Noise& noise);

}  // namespace zaya::bench
