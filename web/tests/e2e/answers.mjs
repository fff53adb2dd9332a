// What the mock server answers: the first rule whose pattern is in the last message.
import { candidateText } from "./run_script.mjs";

const prime = String.raw`## Infinitely many primes

Suppose there were only finitely many primes, $p_1, p_2, \dots, p_n$. Consider

$$
N = p_1 p_2 \cdots p_n + 1 .
$$

1. **No $p_i$ divides $N$**, because $N \equiv 1 \pmod{p_i}$ for every $i$.
2. But $N > 1$, so it has *some* prime factor $q$.
3. Then $q$ is a prime that is not in the list: a contradiction. $\blacksquare$

Euler's product says more. For $s > 1$,

\[
\sum_{n=1}^{\infty} \frac{1}{n^s} \;=\; \prod_{p\ \text{prime}} \frac{1}{1 - p^{-s}},
\]

and as $s \to 1^{+}$ the left side grows without bound, so the product cannot be finite.

| $x$ | $\pi(x)$ | $x / \ln x$ |
|----:|---------:|------------:|
| $10^3$ | 168 | 145 |
| $10^6$ | 78,498 | 72,382 |
| $10^9$ | 50,847,534 | 48,254,942 |

> The table shows how well $x / \ln x$ follows the count of primes.`;

const code = `Sort the intervals by where they start, then walk over them once:

\`\`\`cpp
#include <algorithm>
#include <vector>

struct Interval { int first, last; };

// Merges intervals that touch or overlap; the result is sorted.
std::vector<Interval> merge(std::vector<Interval> all) {
  std::sort(all.begin(), all.end(), [](auto a, auto b) { return a.first < b.first; });
  std::vector<Interval> merged;
  for (const Interval& one : all) {
    if (!merged.empty() && one.first <= merged.back().last) {
      merged.back().last = std::max(merged.back().last, one.last);
    } else {
      merged.push_back(one);
    }
  }
  return merged;
}
\`\`\`

Sorting takes \`O(n log n)\`, the walk \`O(n)\`. In Python:

\`\`\`python
def merge(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged
\`\`\`

- Touching intervals are merged; change \`<=\` to \`<\` to keep them apart.
- An empty list gives an empty list.`;

const hostile = String.raw`<script>window.hacked = 1</script>
<img src="https://evil.example/a.png" onerror="window.hacked = 2">
<svg onload="window.hacked = 3"></svg><iframe src="https://evil.example/"></iframe>

[click](javascript:window.hacked=4) [data](data:text/html,<script>window.hacked=5</script>) [vb](vbscript:x)
![pixel](https://evil.example/pixel.png?secret) ![own](/v1/models)
[good](https://example.org/page "title\" onmouseover=\"window.hacked=6")
<https://example.org/auto> and https://example.org/bare

$\href{javascript:window.hacked=7}{x}$ $\includegraphics{https://evil.example/b.png}$ $\htmlData{x=1}{y}$
$$\url{javascript:window.hacked=8}$$

~~~html" onclick="window.hacked=9
</code></pre><script>window.hacked = 10</script><img src=x onerror=window.hacked=11>
~~~

<style>body { background: url(https://evil.example/c.png) }</style>
<link rel="stylesheet" href="https://evil.example/d.css"><meta http-equiv="refresh" content="0;url=https://evil.example/">
<form action="https://evil.example/"><button>go</button></form>
<a href="javascript:window.hacked=12">x</a> &lt;script&gt;window.hacked=13&lt;/script&gt;`;

const paragraph = (index) =>
  `Step ${index}. We look at $a_{${index}} = \\frac{${index}}{${index + 1}}$ and see that the *bound* holds with \`n = ${index}\`; ` +
  `so the next term follows from the one before, as the lemma says, and nothing else is needed here.`;
const long = Array.from({ length: 700 }, (_, index) =>
  index % 20 === 19 ? `\`\`\`python\nfor i in range(${index}):\n    print(i, "step")\n\`\`\`` : paragraph(index),
).join("\n\n");

const lattice = candidateText(2, 0, 45);

const primes = {
  reasoning:
    "The classical proof is Euclid's: assume a finite list and multiply it up. I should check that $N$ itself need not be prime.\n\nThen I can add Euler's product, because it is short, and a table of $\\pi(x)$.",
  content: prime,
};
const intervals = {
  reasoning: "Sort by the start, then one pass. Touching intervals count as overlapping.",
  content: code,
};

const rules = [
  [/lattice.*, stop/, { ...lattice, run: { pace: 200 } }],
  [/lattice.*, at a pace/, { ...lattice, run: { pace: 80 } }],
  [/lattice.*, hostile/, { ...lattice, run: { hostile } }],
  [/lattice.*, many/, { ...lattice, run: { steps: 60 } }],
  [/lattice.*, break/, { ...lattice, run: { breakAfter: 30 } }],
  [/lattice.*, fault/, { ...lattice, run: { breakAfter: 30, error: "The engine ran out of pages." } }],
  [/lattice/, lattice],
  // For pictures: at the speed that the figures below the answer name.
  [/infinitely many primes, with/, { ...primes, pace: 24 }],
  [/primes/, primes],
  [/intervals|merge/, intervals],
  [/hostile/, { reasoning: hostile, content: hostile }],
  [/very long/, { content: long }],
  [/one block/, { content: `\`\`\`python\n${"x = [1, 2, 3] + foo('a')\n".repeat(4000)}\`\`\`` }],
  [/slowly/, { reasoning: "First I think. ".repeat(8), content: "Word by word the answer comes. ".repeat(200), pace: 20 }],
  [/too long/, { content: "This is cut", finish: "length" }],
  [/busy/, (_, requests) => (requests.filter(({ messages }) => /busy/.test(messages.at(-1).content)).length === 1 ? { status: 429, error: "Too many requests are waiting.", retryAfter: 2 } : { content: "Now there is room." })],
  [/refuse/, { status: 400, error: "temperature must be between 0 and 2, found 7." }],
  [/break/, { content: "The line breaks after these words and nothing more arrives", breakAfter: 6 }],
  [/fault/, { content: "A fault inside the stream comes soon", breakAfter: 4, error: "The engine ran out of pages." }],
  [/settings/, (asked) => ({ content: `\`\`\`json\n${JSON.stringify({ ...asked, messages: undefined }, null, 2)}\n\`\`\`` })],
];

/** The answer to the last of `requests`. */
export function answers(requests) {
  const asked = requests.at(-1);
  const question = asked.messages.at(-1).content;
  for (const [pattern, answer] of rules) {
    if (pattern.test(question)) return typeof answer === "function" ? answer(asked, requests) : answer;
  }
  return { reasoning: "Somebody says something.", content: `You said: ${question} (answer ${requests.length})` };
}
