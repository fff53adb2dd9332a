#!/usr/bin/env python3
"""Writes unicode_tables.cpp: what Python's str methods know about characters.

Run it in this folder with a newer Python to follow a newer Unicode:
  python3 unicode_tables.py > unicode_tables.cpp && clang-format -i unicode_tables.cpp
"""
import unicodedata

ALL = [chr(c) for c in range(0x110000)]


def flags(ch):
    tests = (
        ch.isalpha(),
        ch.isdecimal(),
        ch.isdigit(),
        ch.isnumeric(),
        ch.isspace(),
        ch.isprintable(),
        ch.isidentifier(),
        ("a" + ch).isidentifier(),
    )
    return sum(1 << i for i, yes in enumerate(tests) if yes)


def class_ranges():
    out = []
    for c, ch in enumerate(ALL):
        value = flags(ch)
        if out and out[-1][1] == c - 1 and out[-1][2] == value:
            out[-1][1] = c
        else:
            out.append([c, c, value])
    return [r for r in out if r[2]]


def strided(pairs):
    """Groups sorted (code point, value) pairs into (first, last, stride, value)."""
    out, i = [], 0
    while i < len(pairs):
        best = (1, i)
        for stride in (1, 2):
            j = i
            while (
                j + 1 < len(pairs)
                and pairs[j + 1][0] - pairs[j][0] == stride
                and pairs[j + 1][1] == pairs[i][1]
            ):
                j += 1
            if j > best[1]:
                best = (stride, j)
        out.append((pairs[i][0], pairs[best[1]][0], best[0], pairs[i][1]))
        i = best[1] + 1
    return out


def simple(convert):
    return strided(
        [(c, ord(convert(ch)) - c) for c, ch in enumerate(ALL) if len(convert(ch)) == 1 and convert(ch) != ch]
    )


def special(convert, base=lambda ch: ch):
    return [(c, convert(ch)) for c, ch in enumerate(ALL) if convert(ch) != base(ch)]


def is_multi(convert):
    return [(c, convert(ch)) for c, ch in enumerate(ALL) if len(convert(ch)) > 1]


def table(kind, name, rows):
    print(f"const {kind} {name}[] = {{{', '.join(rows)}}};")
    print(f"const std::size_t {name}Count = std::size({name});\n")


def escaped(text):
    return '"' + "".join(f"\\x{b:02x}" for b in text.encode()) + '"'


print(f"// Written by unicode_tables.py from Unicode {unicodedata.unidata_version}; do not edit.")
print('#include <iterator>\n\n#include "text/jinja/unicode.h"\n\nnamespace zaya::jinja {\n')
table("ClassRange", "kClasses", [f"{{{a},{b},{v}}}" for a, b, v in class_ranges()])
for name, prop in (("kUpper", str.isupper), ("kLower", str.islower)):
    rows = strided([(c, 0) for c, ch in enumerate(ALL) if prop(ch)])
    table("CaseRange", name, [f"{{{a},{b},{s},{v}}}" for a, b, s, v in rows])
for name, convert in (("kToUpper", str.upper), ("kToLower", str.lower)):
    table("CaseRange", name, [f"{{{a},{b},{s},{v}}}" for a, b, s, v in simple(convert)])
table("CaseSpecial", "kToUpperSpecial", [f"{{{c},{escaped(t)}}}" for c, t in is_multi(str.upper)])
table("CaseSpecial", "kToLowerSpecial", [f"{{{c},{escaped(t)}}}" for c, t in is_multi(str.lower)])
table("CaseSpecial", "kToTitleSpecial", [f"{{{c},{escaped(t)}}}" for c, t in special(str.title, str.upper)])
print("}  // namespace zaya::jinja")
