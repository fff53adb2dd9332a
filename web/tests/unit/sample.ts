/** A document with every kind of block and the transitions between them. */
export const document = String.raw`# Title with $x$

A paragraph with **bold**, *it*, ~~old~~, ${"`code`"} and https://example.org/a_b.
A second line.

Setext
======

- one
- two
  - nested with \(a_{1}\)

    a paragraph inside
- three

1. first
2. second

   $$
   y = \frac{1}{2}
   $$

> quoted
> > twice
lazy line

| a | b<br>c |
|:--|--:|
| $1$ | ![i](https://example.org/i.png) |

${"```"}cpp
int main() {

  return 0; // <b>
}
${"```"}

    indented

    code

$$
\begin{aligned}
a &= b \\[2pt]
  &= c
\end{aligned}
$$
Text at once after it, then

\[ E = mc^2 \]

---

\begin{align*}
p &= q
\end{align*}

Last line, costs $5 or $6.
`;
