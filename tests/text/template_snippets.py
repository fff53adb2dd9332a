"""Small templates, one feature each, for record_templates.py. Every line or block is one case."""

VARIABLES = {
    "name": "World",
    "empty": "",
    "text": "  Hello, World!\n",
    "long": "The quick brown fox jumps over the lazy dog and runs away",
    "lines": "one\ntwo\n\nfour\n",
    "uni": "Grüße, 世界 🌍 Straße ΣΟΦΟΣ",
    "odd": "tab\tquote'\"back\\slash\u00a0\u200b\u0007é\U0001f600",
    "html": "<b>\"bold\" & 'brave'</b>",
    "n": 7,
    "neg": -3,
    "zero": 0,
    "big": 9007199254740993,
    "f": 2.5,
    "whole": 3.0,
    "tiny": 1e-7,
    "huge": 1e22,
    "yes": True,
    "no": False,
    "nil": None,
    "nums": [3, 1, 2],
    "mixed": [1, "a", None, True, 2.5, [1, 2], {"k": "v"}],
    "words": ["banana", "Apple", "cherry", "apple"],
    "d": {"b": 1, "a": 2, "items": "x", "nested": {"deep": [10, 20, {"end": "!"}]}},
    "users": [
        {"name": "Ann", "age": 30, "active": True, "tags": ["x", "y"]},
        {"name": "bob", "age": 25, "active": False, "tags": []},
        {"name": "Cid", "age": 30, "active": True, "tags": ["z"]},
    ],
    "tree": [
        {"v": 1, "kids": [{"v": 2, "kids": []}, {"v": 3, "kids": [{"v": 4, "kids": []}]}]},
        {"v": 5, "kids": []},
    ],
}

# One expression a line, printed on its own.
EXPRESSIONS = r"""
name
'a' 'b' "c"
'it\'s' ~ "\"q\"" ~ '\n\t\\ \x41 \u00e9 \101 \q'
'\U0001f600'
1
1_000
0x1f
0b101
0o17
0
1.5
1e3
1.5e-3
1_0.2_5
true
True
false
none
None
nil
yes
[1, 'two', 3.0, none, true]
[]
[1, 2,]
(1, 2)
(1,)
()
(1)
1, 2
{'a': 1, "b": [1, {'c': none}]}
{}
{'a': 1,}
{1: 'x', 1.0: 'y', true: 'z'}
{(1, 2): 3}
mixed
d
users
text
uni
odd
[text, uni, odd]
["it's", '"', 'both \' and "']
[1.0, 0.1, 1e16, 1e15, 123456789012345680.0, 1e-4, 1e-5, 1.5e300, -0.0]
tiny
huge
big
1 + 2
1 - 2
2 * 3
7 / 2
6 / 3
7 // 2
-7 // 2
7 // -2
7.5 // 2
-7.5 // 2
7 % 3
-7 % 3
7 % -3
7.5 % 2
-7.5 % 2
2 ** 10
2 ** -1
2.0 ** 0.5
-2 ** 2
2 ** 3 ** 2
9223372036854775807
-9223372036854775807 - 1
1 + 2 * 3
(1 + 2) * 3
1 + 2 ~ 3 + 4
1 ~ 2 * 3
-n
+n
--n
-f
true + true
true * 3
1 + 1.0
'a' + 'b'
'ab' * 3
3 * 'ab'
'ab' * 0
'ab' * -1
[1] + [2]
[1] * 2
(1,) + (2,)
'a' ~ 1 ~ none ~ 2.0 ~ [1]
name ~ undefined_thing ~ '!'
1 == 1.0
1 == true
'1' == 1
'a' == 'a'
[1, 2] == [1, 2]
[1, 2] == (1, 2)
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
none == none
none == false
1 != 2
1 < 2
2 <= 2
3 > 2
3 >= 4
1 < 2 < 3
1 < 2 > 3
3 > 2 > 1 == true
'a' < 'b'
'Z' < 'a'
[1, 2] < [1, 3]
[1] < [1, 0]
(1, 'a') <= (1, 'b')
1 < 1.5
big == 9007199254740992.0
big > 9007199254740992.0
1 in [1, 2]
3 in [1, 2]
3 not in [1, 2]
'a' in 'abc'
'x' not in 'abc'
'' in 'abc'
'a' in {'a': 1}
1 in (1, 2)
1.0 in [1]
none in mixed
not 1
not 0
not not 'x'
not 1 == 2
1 and 2
0 and 2
'' or 'x'
0 or '' or none
1 or boom.bang
0 and boom.bang
1 and 2 or 3
true and not false
'a' if true else 'b'
'a' if false else 'b'
'a' if false
'[' ~ ('a' if false) ~ ']'
1 if 0 else 2 if 0 else 3
(1 if yes else 2) + 1
'a' if no else 'b' if yes else 'c'
nums[0]
nums[-1]
nums[1:]
nums[:-1]
nums[::-1]
nums[::2]
nums[5:]
nums[-100:100]
nums[2:0:-1]
nums[:]
name[0]
name[-1]
name[1:3]
name[::-1]
uni[8]
uni[7:9]
uni[::-1]
uni[-6:]
name[10:]
(1, 2, 3)[1:]
range(10)[2:5] | list
range(10)[::-3] | list
range(5)[2]
range(5)[-1]
range(5)
range(1, 5)
range(1, 10, 3)
range(5) | list
range(5, 0, -2) | list
range(0) | list
range(3) | length
3 in range(5)
range(3) == range(0, 3)
d.a
d['a']
d.items is callable
d['items']
d.items() | list
d.keys() | list
d.values() | list
d.keys()
d.values()
d.items()
d.get('a')
d.get('zz')
d.get('zz', 'fallback')
d.nested.deep[2].end
d['nested']['deep'][1]
d.missing
d.missing is defined
d['missing']
nums[10]
nums[10] is defined
nums['x'] is defined
nums.x is defined
name.x is defined
nil.x is defined
n.x is defined
d[[1]] is defined
nums[1.0] is defined
users[0].name
users[0]['tags'][1]
users.0.name
nums.1
d.copy()
undefined_thing
undefined_thing is undefined
undefined_thing == other_undefined
undefined_thing | length
undefined_thing | list
undefined_thing | string
[undefined_thing]
not undefined_thing
undefined_thing in [1]
1 in undefined_thing
undefined_thing or 'default'
undefined_thing | default('x')
empty | default('x')
empty | default('x', true)
nil | default('x')
nil | d('x', boolean=true)
undefined_thing | default
n is defined
n is odd
n is even
8 is even
9 is divisibleby 3
9 is divisibleby(4)
n is not none
nil is none
yes is true
yes is boolean
n is boolean
no is false
1 is true
n is integer
yes is integer
f is float
n is number
yes is number
'1' is number
name is string
nums is sequence
name is sequence
d is sequence
5 is sequence
undefined_thing is sequence
range(3) is sequence
d is mapping
nums is mapping
nums is iterable
5 is iterable
undefined_thing is iterable
name is iterable
range is callable
name is callable
'abc' is lower
'ABC' is upper
'aBC' is lower
'123' is upper
1 is sameas 1
1 is sameas true
nil is sameas none
n is eq 7
n is equalto(7)
n is ne 7
n is gt 3
n is ge 7
n is lt 3
n is le 7
n is lessthan 8
n is greaterthan 8
2 is in [1, 2]
'upper' is filter
'nope' is filter
'odd' is test
'nope' is test
name is escaped
name | safe is escaped
n is defined and n is odd
nums | length is eq 3
not n is odd
n is not odd
n is odd is defined
name | upper
name | lower
'hello wORLD-foo (bar) baz_qux' | title
'hELLO wORLD' | capitalize
uni | upper
uni | lower
uni | title
uni | capitalize
'ß ﬁ ǆ İ' | upper
'ß ﬁ ǆ İ' | lower
text | trim
'[' ~ text | trim ~ ']'
'xxhixx' | trim('x')
name | replace('o', '0')
name | replace('o', '0', 1)
name | replace('', '-')
n | replace(7, 8)
name | length
uni | length
d | length
nums | count
nums | first
nums | last
name | first
name | last
[] | first is defined
[] | last is defined
'' | first
d | first
d | last
nums | sum
users | sum(attribute='age')
users | sum('age', 100)
[0.1, 0.2] | sum
[[1], [2]] | sum(start=[])
nums | min
nums | max
words | min
words | max(case_sensitive=true)
users | min(attribute='age')
[] | max is defined
nums | sort
nums | sort(reverse=true)
words | sort
words | sort(case_sensitive=true)
users | sort(attribute='age') | map(attribute='name') | list
users | sort(attribute='age,name', reverse=true) | map(attribute='name') | join(',')
d | dictsort
{'b': 1, 'A': 3, 'a': 2} | dictsort
{'b': 1, 'A': 3, 'a': 2} | dictsort(true)
{'b': 1, 'A': 3, 'a': 2} | dictsort(by='value', reverse=true)
words | unique | list
words | unique(case_sensitive=true) | list
users | unique(attribute='age') | map(attribute='name') | list
nums | reverse | list
name | reverse
range(3) | reverse | list
d | reverse | list
nums | map('string') | reverse
nums | join
nums | join(', ')
users | join(', ', attribute='name')
name | join('-')
[1, none, 'x'] | join('|')
nums | map('string') | join('+')
words | map('upper') | list
words | map('replace', 'a', 'A') | list
users | map(attribute='name') | list
users | map(attribute='nope', default='-') | list
users | map(attribute='tags.0') | list
users | map(attribute='tags.0', default='?') | list
nums | select('odd') | list
nums | select('gt', 1) | list
nums | select('>', 1) | list
nums | select | list
[0, 1, '', 'x', none] | select | list
nums | reject('odd') | list
[0, 1, ''] | reject | list
users | selectattr('active') | map(attribute='name') | list
users | selectattr('age', 'equalto', 30) | map(attribute='name') | list
users | selectattr('name', 'in', ['Ann', 'Cid']) | list | length
users | rejectattr('active') | map(attribute='name') | list
users | rejectattr('age', '==', 30) | list | length
users | selectattr('nope', 'defined') | list
undefined_thing | selectattr('x') | list
undefined_thing | map('upper') | list
users | groupby('age') | list | length
users | groupby('age')
(users | groupby('age'))[0].grouper
(users | groupby('age'))[1].list | map(attribute='name') | list
(users | groupby('name'))[0][0]
users | groupby('nope', default='none')
nums | list
name | list
d | list
d | items | list
undefined_thing | items | list
range(7) | batch(3) | list
range(7) | batch(3, 'x') | list
range(7) | slice(3) | list
range(7) | slice(3, 'x') | list
range(2) | slice(4) | list
'42' | int
' 42 ' | int
'4_2' | int
'42.9' | int
'x' | int
'x' | int(7)
'x' | int(default=none)
'ff' | int(base=16)
'0xff' | int(0, 16)
'0b11' | int(base=0)
3.9 | int
-3.9 | int
true | int
none | int
[] | int
'1e3' | int
'3.5' | float
'x' | float
'x' | float(1.5)
' 1e3 ' | float
'inf' | float
'nan' | float
'1_0.5' | float
7 | float
none | float(2)
n | string
f | string
none | string
nums | string
-3 | abs
-2.5 | abs
n | abs
2.5 | round
3.5 | round
2.567 | round(2)
2.5 | round(0, 'ceil')
2.41 | round(1, 'floor')
2.41 | round(1, method='ceil')
7 | round
1234 | round(-2)
1250 | round(-2)
1234.5 | round(-2)
0.125 | round(2)
2.675 | round(2)
-0.5 | round
lines | indent
lines | indent(2)
lines | indent(2, true)
lines | indent(2, blank=true)
lines | indent('> ')
'a' | indent
'' | indent(first=true)
name | center(11)
name | center(10)
'ab' | center(5)
'[' ~ uni | center(30) ~ ']'
long | truncate(20)
long | truncate(20, true)
long | truncate(20, end='…')
long | truncate(52)
long | truncate(9, leeway=0)
long | wordcount
uni | wordcount
'a-b c_d 12' | wordcount
html | escape
html | e
html | forceescape
html | safe
html | escape | escape
html | escape | forceescape
html | safe ~ html
(html | safe) + html
html + (html | safe)
(html | safe) * 2
(html | safe).upper() + '<'
(html | safe).replace('b', '<')
(html | safe).join(['<', '>'])
('<%s>' | safe) % '<'
('<{}>' | safe).format('<')
[html | safe]
html | striptags
'<p>a <!-- c --> b</p>&amp;&lt;' | striptags
'a b/c?d=é&e' | urlencode
{'a b': 'c/d', 'e': 1} | urlencode
[('x', 'y z')] | urlencode
'%s-%d-%.2f' | format('a', 5, 2.5)
'%(x)s' | format(x=1)
'%5d|%-5d|%05d|%+d|% d' % (1, 2, 3, 4, 5)
'%x %X %o %#x %e %g %G' % (255, 255, 8, 255, 12345.678, 0.00001, 1e20)
'%s %r %a' % ('é', 'é', 'é')
'%5s|%-5s|%.2s|%c|%%' % ('ab', 'ab', 'abc', 'x')
'%(a)s %(b)d' % d
'%*d' % (5, 3)
'%s' % none
'%s' % [1, 2]
'%s' % ((1, 2),)
'%.3f' % 2
'%d' % 3.9
'%i' % true
'%s' % undefined_thing
'x%s' % d
'no args' % {}
d | tojson
mixed | tojson
uni | tojson
odd | tojson
html | tojson
d | tojson(indent=2)
mixed | tojson(indent=4)
[] | tojson(indent=2)
{} | tojson(indent=2)
[[], {}, [[]]] | tojson(indent=1)
d | tojson(indent=0)
d | tojson(indent='--')
d | tojson(sort_keys=true)
d | tojson(separators=(',', ':'))
d | tojson(indent=2, separators=(',', ': '))
uni | tojson(ensure_ascii=true)
odd | tojson(true)
d | tojson(false, 2)
(1, (2, 3)) | tojson
{1: 2, none: 3, true: 4, 1.5: 5} | tojson
[1.0, 1e100, 0.1, -0.0, 1e16] | tojson
'inf' | float | tojson
'nan' | float | tojson
none | tojson
name | tojson | length
12345 | filesizeformat
1 | filesizeformat
999 | filesizeformat
1234567 | filesizeformat(true)
d | attr('keys')() | list
d | attr('a') is defined
name | attr('upper')()
name.upper()
name.lower()
'hello world'.title()
"they're bill's friends".title()
'hELLO'.capitalize()
'Hello'.swapcase()
uni.upper()
uni.lower()
uni.title()
uni.swapcase()
text.strip()
text.lstrip()
text.rstrip()
'xyxhixyx'.strip('xy')
'xyxhixyx'.lstrip('xy')
'xyxhixyx'.rstrip('xy')
'\u00a0 a \u2003'.strip()
'éaé'.strip('é')
'a b  c'.split()
'  a b  c  '.split()
'a,b,,c'.split(',')
'a,b,,c'.split(',', 1)
'a b  c d'.split(none, 1)
'a b  c d'.split(maxsplit=2)
'  a b '.split(none, 0)
''.split()
''.split(',')
'a--b--c'.split('--')
'a,b,,c'.rsplit(',', 1)
'a b  c d'.rsplit(none, 1)
'a b  c d '.rsplit(maxsplit=2)
'a,b'.rsplit(',')
lines.splitlines()
lines.splitlines(true)
'a\r\nb\rc\x0bd\u2028e'.splitlines()
''.splitlines()
'hello'.startswith('he')
'hello'.startswith(('x', 'he'))
'hello'.startswith('l', 2)
'hello'.startswith('')
'hello'.endswith('lo')
'hello'.endswith(('x', 'y'))
'hello'.endswith('l', 0, 4)
'hello'.find('l')
'hello'.find('z')
'hello'.find('l', 3)
'hello'.find('l', 0, 2)
'hello'.rfind('l')
'hello'.index('l')
'hello'.rindex('l')
uni.find('世')
uni.find('')
'abc'.find('', 4)
'hello'.count('l')
'aaaa'.count('aa')
'abc'.count('')
'hello'.count('l', 3)
'hello'.replace('l', 'L')
'hello'.replace('l', 'L', 1)
'hello'.replace('', '.')
'hello'.replace('', '.', 2)
'é'.replace('', '.')
'-'.join(['a', 'b'])
''.join([])
'-'.join('abc')
', '.join(words)
'-'.join(d)
'a-b-c'.partition('-')
'abc'.partition('-')
'a-b-c'.rpartition('-')
'abc'.rpartition('-')
'abc'.center(8)
'abc'.center(8, '*')
'ab'.center(5, '*')
'abc'.ljust(6, '.')
'abc'.rjust(6)
'abc'.ljust(2)
'42'.zfill(5)
'-42'.zfill(5)
'+x'.zfill(4)
'a\tbc\td'.expandtabs()
'a\tbc\td'.expandtabs(4)
'123'.isdigit()
'12a'.isdigit()
'²'.isdigit()
'²'.isdecimal()
'½'.isnumeric()
'abc'.isalpha()
'äß世'.isalpha()
'abc1'.isalnum()
''.isalpha()
' \t'.isspace()
'abc'.islower()
'ABC1'.isupper()
'Abc Def'.istitle()
'abc def'.istitle()
'abc_1'.isidentifier()
'1a'.isidentifier()
'abc'.isascii()
uni.isascii()
'a\n'.isprintable()
'prefix-x'.removeprefix('prefix-')
'x.txt'.removesuffix('.txt')
'x'.removeprefix('y')
'{} {}'.format(1, 'a')
'{0} {1} {0}'.format('a', 'b')
'{x}-{y}'.format(x=1, y=none)
'{0[a]} {0[nested]}'.format(d)
'{u[name]}'.format(u=users[0])
'{:5}|{:<5}|{:>5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd', 'e')
'{:5}|{:<5}|{:05d}|{:+}|{: }'.format(1, 2, 3, 4, 5)
'{:,} {:_} {:x} {:#x} {:b} {:o} {:X}'.format(1234567, 1234567, 255, 255, 5, 8, 255)
'{:.2f} {:8.3f} {:e} {:g} {:%} {:.1%}'.format(3.14159, 2.5, 12345.6, 0.0001, 0.5, 0.123)
'{:.3} {:.3}'.format('abcdef', 3.14159)
'{!r} {!s} {!a}'.format('é', 'é', 'é')
'{:{}}|{:{w}}'.format('a', 5, 'b', w=4)
'{{}} {}'.format(1)
'{:s} {}'.format('x', true)
'{:d} {:5}'.format(true, false)
'{:010.2f} {:=+8}'.format(-3.14159, 5)
'{:012,}'.format(1234567)
'{:>{w}}'.format('r', w=5)
'{a}'.format_map({'a': 1})
[1, 2, 1].count(1)
[1, 2, 1].index(2)
(1, 2).index(2)
(1, 2, 2).count(2)
[1, 2].copy()
dict(a=1, b=2)
dict({'a': 1}, b=2)
dict([('a', 1), ['b', 2]])
dict()
dict(**d).a
namespace(a=1).a
namespace({'a': 1}).a
namespace(a=1)
namespace().x is defined
'a'.upper().lower().title()
(nums | sort)[0]
(1, 2)[0] + [3, 4][1]
[[1, 2], [3]][0][1]
{'a': {'b': 'c'}}.a.b
[1, 2, 3][1:][0]
'abc'[1:].upper()
(n + 1) * 2 - 3
n + 1 | string ~ 'x'
-1 | abs
-n | abs
2 | string ~ 3
[3, 1] | sort | first
'a' in 'abc' and 'b' not in 'xyz'
not ('a' in 'b')
n > 5 and n < 10
none is none and not nil
1 if n is odd else 0
range(3) | map('string') | join(',')
"\
continued"
'multi
line'
strftime_now('%d %b %Y')
strftime_now('%Y-%m-%dT%H:%M:%S %A %B %j %y %I %p %-d')
strftime_now('')
d.nested.deep | last | tojson
words | map('length') | sum
users | map(attribute='age') | map('string') | join('/')
[1, [2, [3]]] | string
('x' * 3, )
'%s' % (none,)
nums is sameas nums
[1, 2] is sameas [1, 2]
1 == 1 == true
'' is defined
'a' ~ ('b' ~ 'c')
[1, 2, 3] | tojson | safe
{'x': [1, 2, {'y': none}]} | tojson(indent=4)
"a" if undefined_thing else "b"
(undefined_thing | default([])) | length
d | tojson | replace('"', "'")
name is string and name | length > 3
1 < n <= 7
n // 2 * 2 + n % 2
'a\\b'
'\''
"\""
'\/'
uni[0:5] ~ uni[-1]
'%s %s' % ('a', 'b') ~ 'c'
'abc' | list | reverse | join
[1, 2, 3, 4][1:3] | sum
nums.index(1)
'a,b;c'.replace(',', ';').split(';')
''.join(['a', 'b']) | upper
"é" == "é"
'é' < 'z'
10 ** 18
3 * 1.1
0.1 + 0.2
1 / 3
100 * 1.1
1e300 * 1e10
-1e300 * 1e10
5 // 0.3
2 ** 62
7 is divisibleby(7) and true
"{{ not a tag }}"
'{% raw %}'
'#}'
"""

# Expressions that must fail.
FAILING_EXPRESSIONS = r"""
undefined_thing.x
undefined_thing['x']
undefined_thing.x.y
undefined_thing + 1
1 + undefined_thing
undefined_thing < 1
undefined_thing()
-undefined_thing
undefined_thing | int
undefined_thing[1:]
d.missing.x
d.missing()
nums.x.y
nil.x.y
nums[10].x
name.nope()
nil()
name()
5()
1 + 'a'
'a' + 1
'a' - 'b'
[1] + (2,)
[1] + 1
1 < 'a'
[1] < 1
none < 1
{} < {}
1 / 0
1 // 0
1 % 0
1.0 / 0
0 ** -1
1 in 5
1 in 'abc'
1 in none
-'a'
+[]
[] * []
'a' * 'b'
nums[::0]
nums['a':]
d[1:]
nil[1:]
range()
range('a')
range(1, 2, 0)
range(1000000)
nums.append(4)
nums.sort()
nums.extend([1])
nums.insert(0, 1)
nums.remove(1)
nums.reverse()
d.update({})
d.pop('a')
d.clear()
d.setdefault('a', 1)
name.__class__()
name.__class__.x
d.__class__.__name__
5 | length
none | list
5 | first
5 | join
5 | sum
nums | sum(start='')
['a'] | sum
[1, 'a'] | sort
[1, 'a'] | max
5 | dictsort
d | dictsort(by='x')
[[1]] | unique | list
d[[1]].x
{[1]: 2}
'abc' | batch | list
users | groupby('nope') | list | first | first + 1
nums | map | list
nums | map('nope') | list
nums | select('nope') | list
nums | map(attribute='x', other=1) | list
5 | items | list
undefined_thing | tojson
range | tojson
{(1, 2): 3} | tojson
[1, 'a'] | dictsort
5 | indent
'x' | round
'x' | abs
n | round(1, 'up')
'%d' % 'a'
'%s %s' % 'a'
'%s' % (1, 2)
'a' % 1
'%(x)s' % d
'%y' % 1
'%' % 1
'{}'.format()
'{x}'.format()
'{} {0}'.format(1)
'{'.format()
'}'.format()
'{:d}'.format('a')
'{:x}'.format(1.5)
'{:5}'.format(none)
'{:.2}'.format(1)
'abc'.index('z')
''.split('')
'a'.split('')
'-'.join([1])
'a'.center(5, 'ab')
'a'.startswith(1)
'a'.upper(1)
'a'.replace('b')
'a'.strip('a', 'b')
[].pop()
[1].index(2)
d.get()
d.get('a', 'b', 'c')
dict(1)
dict([1])
raise_exception('custom message')
raise_exception('Unicode: é')
raise_exception(5)
name | upper('x')
name | replace
name | replace('a', 'b', nope=1)
n is divisibleby
n is divisibleby(0)
n is defined(1)
cycler()
long | truncate(2)
loop.index
namespace(1)
caller()
"""

# Whole templates, split at lines of four dashes. The last newline of each is dropped.
TEMPLATES = r"""
Hello {{ name }}!
----
{# comment #}text{# another
over lines #}
----
  {# indented comment #}
after
----
{%- if yes -%}  yes  {%- endif -%}
----
{% if yes %}
yes
{% endif %}
end
----
    {% if yes %}
  indented
    {% endif %}
tail
----
a {% if yes %} b {% endif %} c
----
a {%+ if yes %} b {% endif +%}
c
----
  {%+ if yes %}
x
  {%+ endif +%}

y
----
{{- name -}}   x   {{- name }}  
y
----
a  {{- ' b ' -}}  c
----
line1
  {{ name }}
line3
----
{% if no %}a{% elif nil %}b{% elif n == 7 %}c{% else %}d{% endif %}
----
{% if no %}a{% endif %}x
----
{% for x in nums %}{{ x }},{% endfor %}
----
{% for x in nums %}
- {{ x }}
{% endfor %}
----
{%- for x in nums %}
- {{ x }}
{%- endfor %}

end
----
{% for x in [] %}a{% else %}none{% endfor %}
----
{% for x in nums %}{{ x }}{% else %}none{% endfor %}
----
{% for x in nums if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% endfor %}
----
{% for x in nums if x > 9 %}{{ x }}{% else %}nothing{% endfor %}
----
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
----
{% for k, v in d | items %}{{ k }}={{ v }};{% endfor %}
----
{% for k in d %}{{ k }} {% endfor %}
----
{% for a, (b, c) in [(1, (2, 3)), (4, [5, 6])] %}{{ a }}{{ b }}{{ c }} {% endfor %}
----
{% for x in nums %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}|{% endfor %}
----
{% for x in nums %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}
----
{% for x in nums %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}
----
{% for x in range(5) %}{{ loop.cycle('a', 'b') }}{% endfor %}
----
{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {% endfor %}
----
{% for x in [1, 2] %}{% for y in [3, 4] %}{{ loop.index }}{{ loop.depth }}{% endfor %}{{ loop.index }}{% endfor %}
----
{% for x in nums %}{% set outer = loop %}{% for y in 'ab' %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}
----
{% for node in tree recursive %}[{{ node.v }}{{ loop.depth }}{% if node.kids %}{{ loop(node.kids) }}{% endif %}]{% endfor %}
----
{% for x in nums %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}
----
{% for x in nums %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}
----
{% for x in nums %}{% for y in nums %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}
----
{% for x in [1] %}{% continue %}{% else %}else{% endfor %}
----
{% for x in [1] %}{% break %}{% else %}else{% endfor %}
----
{% for x in undefined_thing %}a{% else %}b{% endfor %}
----
{% for c in uni %}{{ c }}.{% endfor %}
----
{% for x in nums | map('string') %}{{ loop.last }}{{ x }}{% endfor %}
----
{% for x in nums | reverse %}{{ loop.length }}{{ x }}{% endfor %}
----
{% for x in nums | select('odd') %}{{ loop.index }}/{{ loop.length }}:{{ loop.revindex }} {% endfor %}
----
{% set x = 1 %}{{ x }}
----
{% set x, y = 1, 2 %}{{ x }}{{ y }}
----
{% set (x, y) = [1, 2] %}{{ x }}{{ y }}
----
{% set x = 1, 2 %}{{ x }}
----
{% set x %}block {{ name }}{% endset %}[{{ x }}]
----
{% set x | upper | replace('L', '_') %}hello{% endset %}{{ x }}
----
{% set x %}
  indented
{% endset %}[{{ x }}]
----
{% set x = 1 %}{% if yes %}{% set x = 2 %}{% endif %}{{ x }}
----
{% set x = 1 %}{% for i in nums %}{% set x = i %}{{ x }}{% endfor %}{{ x }}
----
{% set x = 0 %}{% for i in nums %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}
----
{% for i in nums %}{% if loop.first %}{% set y = i %}{% endif %}{{ y }}|{% endfor %}
----
{% set ns = namespace(x=0, l=[]) %}{% for i in nums %}{% set ns.x = ns.x + i %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.x }}{{ ns.l }}
----
{% set ns = namespace() %}{% set ns.a = 1 %}{% set ns.b = 'x' %}{{ ns }}{{ ns.a }}{{ ns['b'] }}
----
{% set ns = namespace(found=false) %}{% for u in users %}{% if u.age == 25 %}{% set ns.found = u.name %}{% break %}{% endif %}{% endfor %}{{ ns.found }}
----
{% set ns = namespace(a=1) %}{% set ns.a %}body{% endset %}{{ ns.a }}
----
{% macro hi(who, mark='!') %}Hi {{ who }}{{ mark }}{% endmacro %}{{ hi('Ann') }}{{ hi('Bob', '?') }}{{ hi(mark='.', who='Cid') }}
----
{% macro f(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }} {{ f(1, 3) }} {{ f(1, c=9) }} {{ f() }}
----
{% macro f(a) %}[{{ a }}{{ varargs }}{{ kwargs }}]{% endmacro %}{{ f(1, 2, 3, x=4) }}{{ f() }}
----
{% macro f() %}{{ kwargs.items() | list }}{% endmacro %}{{ f(b=1, a=2) }}
----
{% macro f(x) %}{{ x }}{% endmacro %}{{ f(*[1]) }}{{ f(**{'x': 2}) }}
----
{% macro outer() %}<{{ caller() }}>{% endmacro %}{% call outer() %}inside {{ name }}{% endcall %}
----
{% macro list_all(items) %}{% for i in items %}{{ caller(i, loop.index) }}{% endfor %}{% endmacro %}{% call(x, k) list_all(nums) %}{{ k }}={{ x }};{% endcall %}
----
{% macro f() %}{{ caller is defined }}{% if caller %}{{ caller() }}{% endif %}{% endmacro %}{{ f() }}{% call f() %}x{% endcall %}
----
{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}
----
{% set x = 1 %}{% macro f() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ f() }}
----
{% macro f() %}{% set x = 5 %}{{ x }}{% endmacro %}{% set x = 1 %}{{ f() }}{{ x }}
----
{% macro f(a) %}{{ a }}{% endmacro %}{{ f.name }}{{ f.arguments }}{{ f.catch_kwargs }}{{ f.catch_varargs }}{{ f.caller }}{{ f }}
----
{% macro f(a) -%}
  x {{ a }}
{%- endmacro %}
[{{ f(1) }}]
----
{% macro a() %}A{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}
----
{% for x in nums %}{% macro f() %}{{ x }}{% endmacro %}{{ f() }}{% endfor %}
----
{% macro f(x) %}{% if x %}T{% else %}F{% endif %}{% endmacro %}{{ f(undefined_thing) }}{{ f(0) }}{{ f('0') }}
----
{{ f() if f is defined else 'no f' }}
----
{% filter upper %}hello {{ name }}{% endfilter %}
----
{% filter replace('l', 'L') | trim %}  hello  {% endfilter %}|
----
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}
----
{% set a = 5 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}
----
{% with %}{% set z = 1 %}{{ z }}{% endwith %}{{ z is defined }}
----
{% with (a, b) = (1, 2) %}{{ a }}{{ b }}{% endwith %}
----
{% raw %}{{ raw }} {% if %}{% endraw %}
----
{%- raw -%}  {{ x }}  {%- endraw -%}  y
----
{% raw %}
text
  {% endraw %}
after
----
{%raw%}a{%endraw%}{% raw +%}b{% endraw %}
----
{% generation %}gen {{ name }}{% endgeneration %} after
----
{% for x in nums %}{% generation %}{% set y = x %}{{ y }}{% endgeneration %}{{ y is defined }}{% endfor %}
----
{% print 1, 'a', nums %}
----
{% print %}x
----
{% set c = cycler('a', 'b', 'c') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.next() }}
----
{% set j = joiner('; ') %}{% for x in nums %}{{ j() }}{{ x }}{% endfor %}
----
{% set j = joiner() %}{{ j() }}a{{ j() }}b
----
{{ 'a' }}{# c #}{{ 'b' }}

----
{{ name }}


----
a

{% if yes %}

b

{% endif %}

c
----
{% if yes %}a{% endif %}
{% if yes %}b{% endif %}

c
----
{{ "{{" }} and {{ '%}' }}
----
{{ {'a': {'b': 1}}['a']['b'] }}{{ {'x': '}}'}.x }}
----
{% if name == 'World' and (n > 5 or no) and not nil %}ok{% endif %}
----
{% if 'system' in ['system', 'user'] %}in{% endif %}{% if nums is defined and nums|length > 2 %}long{% endif %}
----
{% if undefined_thing is defined and undefined_thing.x %}a{% else %}b{% endif %}
----
{% if no %}{{ 'x' | nofilter }}{% endif %}ok
----
{{ ('x' | nofilter) if no else 'ok' }}
----
{% if no %}{{ 1 is notest }}{% endif %}ok
----
{% set m = [1, 2, 3] %}{{ m.pop() }}{{ m.pop(0) }}{{ m }}
----
{% set it = nums | map('string') %}{{ it | list }}{{ it | list }}
----
{% set it = range(4) | select('odd') %}{{ it | first }}{{ it | list }}
----
{% set it = nums | map('string') %}{{ '1' in it }}{{ it | list }}
----
{{ 1 }}{{ ' ' }}{{ 2 -}}
{{ 3 }}
----
{%- set loop_messages = users[1:] -%}
{%- for u in loop_messages -%}
{{ u['name'] }}{{ '\n' if not loop.last }}
{%- endfor -%}
----
{%- set x = namespace(a=[]) -%}
{%- for u in users -%}
  {%- if u.active -%}
    {%- set x.a = x.a + [u.name] -%}
  {%- endif -%}
{%- endfor -%}
{{ x.a | join(' & ') }}
----
{% for u in users %}
  {%- if u.active %}
{{ u.name }} is active
  {%- else %}
{{ u.name }} is not
  {%- endif %}
{% endfor %}
----
{% for u in users -%}
{{ u.name }}
{%- if not loop.last %}, {% endif -%}
{%- endfor %}.
----
{{ users | map(attribute='name') | map('lower') | join(', ') }}
----
{% set f = name.upper %}{{ f() }}
----
{% set a = b = 1 %}
----
{%- macro render_extra_keys(json_dict, handled_keys) -%}
    {%- if json_dict is mapping %}
        {%- for json_key in json_dict if json_key not in handled_keys %}
            {%- if json_dict[json_key] is mapping or (json_dict[json_key] is sequence and json_dict[json_key] is not string) %}
                {{- '\n<' ~ json_key ~ '>' ~ (json_dict[json_key] | tojson | safe) ~ '</' ~ json_key ~ '>' }}
            {%- else %}
                {{-'\n<' ~ json_key ~ '>' ~ (json_dict[json_key] | string) ~ '</' ~ json_key ~ '>' }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
{%- endmacro -%}
{{ render_extra_keys(d, ['a']) }}
----
{%- for x in [1, 2, 3] %}{% if loop.index is divisibleby 2 %}{{ x }}{% endif %}{% endfor %}
----
{{ name|default("x")|upper~"!"|lower }}
----
{% for x in nums -%} {{ x }} {%- endfor %}
----
{% set x = 'a' if yes else 'b' %}{{ x }}
----
{% if (users | selectattr('age', 'gt', 28) | list | length) > 1 %}many{% endif %}
----
{% if users[0].tags and users[0].tags[0] == 'x' %}x{% endif %}{% if users[1].tags %}y{% endif %}
----
{{ loop }}
----
{% set ns = namespace(i=0) %}{% for a in range(3) %}{% for b in range(2) %}{% set ns.i = ns.i + 1 %}{% endfor %}{% endfor %}{{ ns.i }}
----
{% set d2 = dict(d, z=1) %}{{ d2.z }}{{ d2 | length }}
----
{%for x in nums%}{{x}}{%endfor%}
----
{% if yes: %}a{% else: %}b{% endif %}
----
{%   if   yes   %}spaces{%   endif   %}
----
{{name}}{{-name-}}{{ name}}
----
{#- strip -#}  a  {#- b -#}  c
----
x {#- strip left #} y
----
x {# strip right -#}   y
----
x {#+ keep +#}
y
----
{{ 'trailing space ' }} 
----
ünïcödé {{ uni }} テスト
----
{% set 变量 = 1 %}{{ 变量 }}
----
{% for x in nums %}{{ x }}
{% endfor %}
----
{% set x = 10 %}{% macro m(y=x) %}{{ y }}{% endmacro %}{% set x = 20 %}{{ m() }}
----
{% call(a) undefined_thing.x() %}{% endcall %}
----
{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}
----
{% for a, b, c in [(1, 2)] %}{{ a }}{% endfor %}
----
{% for a, b in [1] %}{{ a }}{% endfor %}
----
{% for x in 5 %}{{ x }}{% endfor %}
----
{% set x.y = 1 %}
----
{% set d.y = 1 %}
----
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
----
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}
----
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, a=2) }}
----
{% macro f() %}{{ caller() }}{% endmacro %}{{ f() }}
----
{% macro f() %}x{% endmacro %}{% call f() %}y{% endcall %}
----
{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}
----
{% for x in nums %}{{ loop(nums) }}{% endfor %}
----
line one
line two {{ undefined_thing.attribute }}
----
{% if yes %}

{{ raise_exception('on line three') }}
{% endif %}
----
{% if yes %}
----
{% for x in nums %}
----
{% endif %}
----
{% if yes %}{% endfor %}
----
{% nonsense %}
----
{% do nums.append(1) %}
----
{{ 
----
{{ name
----
{{ name }
----
{% if yes
----
{{ }}
----
{{ 1 + }}
----
{{ (1 }}
----
{{ 1) }}
----
{{ [1, 2 }}
----
{{ a b }}
----
{{ 'unterminated }}
----
{{ 1 | }}
----
{{ 1 | nofilter }}
----
{{ 1 is notest }}
----
{% if yes %}{% for x in nums %}{{ x | nofilter }}{% endfor %}{% endif %}
----
{{ name is string is string is string }}
----
{{ f(a=1, 2) }}
----
{{ f(**a, *b) }}
----
{{ f(a=1, a=2) }}
----
{% set 1 = 2 %}
----
{% set true = 2 %}
----
{% set x %}
----
{% for 1 in nums %}{% endfor %}
----
{% break %}
----
{% continue %}
----
{% macro f() %}{% break %}{% endmacro %}
----
{% macro f(a=1, b) %}{% endmacro %}
----
{% macro %}{% endmacro %}
----
{% call 1 %}{% endcall %}
----
{# unterminated
----
{% raw %} unterminated
----
{{ name ! }}
----
{{ name ? }}
----
{{ $x }}
----
{{ name.'x' }}
----
{{ not }}
----
{{ 1 is }}
----
{{ 1 if }}
----
{{ {1} }}
----
{{ {'a': } }}
----
{{ 012 }}
----
{{ '\x4' }}
----
{% else %}
----
{% if %}{% endif %}
----
{% for x nums %}{% endfor %}
----
{% for x in %}{% endfor %}
----
{% with a %}{% endwith %}
----
{% filter %}x{% endfilter %}
----
{% filter nofilter %}x{% endfilter %}
----
{% generation %}
"""

# Tags that this engine refuses on purpose; jinja2 would accept them.
REFUSED = [
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% from 'x' import y %}",
    "{% extends 'x' %}",
    "{% block x %}{% endblock %}",
    "{% autoescape true %}{% endautoescape %}",
]
