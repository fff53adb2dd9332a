#include "bench/rsa/noisy.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/random.h"

namespace zaya::bench {
namespace {

constexpr int kValues = 10;

double uniform(Random& random) {
  return static_cast<double>(random.next() >> 11) * 0x1.0p-53;
}

int other_than(int value, Random& random) {
  return static_cast<int>((static_cast<std::uint64_t>(value) + 1 + random.next() % (kValues - 1)) %
                          kValues);
}

int fresh(const Puzzle& puzzle, std::size_t part, Random& random) {
  if (uniform(random) < puzzle.chance[part]) return puzzle.right[part];
  if (uniform(random) < 0.5) return puzzle.tempting[part];
  return other_than(puzzle.right[part], random);
}

// How often each value of a part stands in the prompt.
std::array<int, kValues> seen(const std::string& prompt, std::size_t part) {
  std::array<int, kValues> counts{};
  const std::string mark = fmt::format("part{}= ", part);
  for (std::size_t at = 0; (at = prompt.find(mark, at)) != std::string::npos;) {
    at += mark.size();
    if (at < prompt.size() && prompt[at] >= '0' && prompt[at] <= '9') {
      ++counts[static_cast<std::size_t>(prompt[at] - '0')];
    }
  }
  return counts;
}

}  // namespace

Puzzle make_puzzle(std::size_t number, const Noise& noise, std::uint64_t seed) {
  Random random(seed + 1'000'003 * number);
  Puzzle p{.text = fmt::format("Puzzle #{}: find its {} values.", number, noise.parts),
           .answer = "1"};
  for (std::size_t i = 0; i < noise.parts; ++i) {
    p.right.push_back(static_cast<int>(random.next() % kValues));
    p.tempting.push_back(other_than(p.right.back(), random));
    p.chance.push_back(noise.hardest + (noise.easiest - noise.hardest) * uniform(random));
    p.answer += static_cast<char>('0' + p.right.back());
  }
  return p;
}

rsa::Output solve_noisily(const rsa::Call& call, const std::vector<Puzzle>& puzzles,
                          const Noise& noise) {
  const std::string& prompt = call.messages.back().content;
  const std::size_t number = std::stoul(prompt.substr(prompt.find("Puzzle #") + 8));
  const Puzzle& puzzle = puzzles.at(number);
  Random random(call.params.seed);
  rsa::Output out{.finish = FinishReason::stop};
  const std::size_t words = 200 + random.next() % 400;
  for (std::size_t i = 0; i < words; ++i) out.reasoning += "hm ";
  std::string answer = "1";
  for (std::size_t part = 0; part < noise.parts; ++part) {
    const auto counts = seen(prompt, part);
    const int most = *std::max_element(counts.begin(), counts.end());
    int value = 0;
    if (most > 0 && uniform(random) < noise.aggregates) {
      std::vector<int> best;
      for (int v = 0; v < kValues; ++v) {
        if (counts[static_cast<std::size_t>(v)] == most) best.push_back(v);
      }
      value = best[random.next() % best.size()];
    } else {
      value = fresh(puzzle, part, random);
    }
    out.reasoning += fmt::format("part{}= {} ", part, value);
    answer += static_cast<char>('0' + value);
  }
  out.answer = fmt::format("\\boxed{{{}}}", answer);
  out.output_tokens = words + 2 * noise.parts + 1;
  return out;
}

}  // namespace zaya::bench
