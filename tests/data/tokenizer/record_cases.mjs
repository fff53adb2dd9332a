// Records what Hugging Face's tokenizers library does with small random tokenizer.json files: the
// expected values of library_cases.json. Needs the npm package "tokenizers" (0.23.2 was used):
//
//   npm install --prefix DIR tokenizers@0.23.2
//   NODE_PATH=DIR/node_modules node record_cases.mjs SEED COUNT > library_cases.json
import { createRequire } from 'module';
const require = createRequire(process.env.NODE_PATH + '/');
const { Tokenizer } = require('tokenizers');

let state = BigInt(process.argv[2] ?? 1);
const count = Number(process.argv[3] ?? 10);
const below = (n) => {  // a 64-bit linear congruential generator, upper bits
  state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
  return Number((state >> 33n) % BigInt(n));
};
const chance = (percent) => below(100) < percent;
const pick = (list) => list[below(list.length)];
const repeat = (n, make) => Array.from({ length: n }, make);

const letters = ['a', 'b', 'c', '▁', 'é', '漢', '<', '_', '\n', '😀'];
const strange = ['x', 'ß', '文', '🙂', '\u0301', '.'];
const word = (max) => repeat(1 + below(max), () => pick([...letters, ' '])).join('');
const text = () =>
  repeat(below(24), () => (chance(12) ? pick(strange) : chance(20) ? ' ' : pick(letters))).join('');
const byteToken = (b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`;

function replacement() {
  const [pattern, content] = pick([[' ', '▁'], [' ', '▁'], ['a', 'b'], ['▁▁', '▁'], ['x', '']]);
  return { type: 'Replace', pattern: { String: pattern }, content };
}

function split() {
  const behavior =
    pick(['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous']);
  return { type: 'Split', pattern: { String: pick([' ', '▁', 'b', 'ab', '\n']) }, behavior,
           invert: chance(25) };
}

function decoder() {
  const replace = { type: 'Replace', pattern: { String: '▁' }, content: ' ' };
  const strip = { type: 'Strip', content: ' ', start: 1 + below(2), stop: 0 };
  const bytes = { type: 'ByteFallback' };
  const fuse = { type: 'Fuse' };
  return pick([
    { type: 'Sequence', decoders: [replace, bytes, fuse] },
    { type: 'Sequence', decoders: [replace, bytes, fuse, strip] },
    { type: 'Sequence', decoders: [bytes, fuse] },
    replace,
    bytes,
    fuse,
  ]);
}

function tokenizerFile() {
  const vocab = {};
  const add = (token) => {
    if (!(token in vocab)) vocab[token] = Object.keys(vocab).length;
  };
  add('<unk>');
  add('<s>');
  if (chance(60)) {
    const from = chance(70) ? 0 : 0x80 + below(0x60);
    for (let b = from; b < 256; ++b) add(byteToken(b));
  }
  for (const c of letters) if (!chance(10)) add(c);
  if (chance(30)) add(' ');
  const merges = [];
  for (let i = below(40); i > 0; --i) {
    const mergeable = Object.keys(vocab).filter(
      (t) => (!t.startsWith('<0x') && t !== '<s>' && t !== '<unk>') || chance(1));
    if (mergeable.length === 0) break;
    const [a, b] = [pick(mergeable), pick(mergeable)];
    if ([...(a + b)].length > 8 || /[ ]/.test(a + b)) continue;
    add(a + b);
    merges.push([a, b]);
  }
  const size = Object.keys(vocab).length;
  const added = [];
  const addToken = (content, special) => {
    if (added.some((t) => t.content === content)) return;
    const fresh = added.filter((t) => !(t.content in vocab)).length;
    added.push({ id: vocab[content] ?? size + fresh, content, single_word: chance(20),
                 lstrip: chance(20), rstrip: chance(20), normalized: chance(30), special });
  };
  addToken('<s>', true);
  for (let i = below(6); i > 0; --i) addToken(word(4), chance(30));
  const special = { id: '<s>', type_id: 0 };
  return {
    version: '1.0', truncation: null, padding: null, added_tokens: added,
    normalizer: pick([null, replacement(),
                      { type: 'Sequence', normalizers: repeat(below(3), replacement) }]),
    pre_tokenizer: pick([null, split(), split(),
                         { type: 'Sequence', pretokenizers: repeat(below(3), split) }]),
    post_processor: pick([null, {
      type: 'TemplateProcessing',
      single: pick([
        [{ SpecialToken: special }, { Sequence: { id: 'A', type_id: 0 } }],
        [{ SpecialToken: special }, { Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: special }],
      ]),
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    }]),
    decoder: decoder(),
    model: {
      type: 'BPE', dropout: null, unk_token: chance(70) ? '<unk>' : null,
      continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: chance(50),
      byte_fallback: chance(60), ignore_merges: chance(25), vocab,
      merges: chance(50) ? merges : merges.map((pair) => pair.join(' ')),
    },
  };
}

const all = [];
while (all.length < count) {
  const file = tokenizerFile();
  const tokenizer = Tokenizer.fromString(JSON.stringify(file));
  const ids = async (t, addSpecialTokens) =>
    (await tokenizer.encode(t, null, { addSpecialTokens })).getIds();
  const entry = { tokenizer: file, encode: [], decode: [] };
  const contents = file.added_tokens.map((t) => t.content);
  for (let i = 0; i < 12; ++i) {
    const sample = repeat(1 + below(3), () => (chance(40) ? pick(contents) : text())).join('');
    entry.encode.push(
      { text: sample, ids: await ids(sample, false), with_special: await ids(sample, true) });
  }
  // Whether a normalised added token decodes to its content or to its normalised content has
  // changed between versions of the library: none is decoded here.
  const size = tokenizer.getVocabSize(true);
  const normalized = new Set(file.added_tokens.filter((t) => t.normalized).map((t) => t.id));
  for (let i = 0; i < 8; ++i) {
    const sequence = repeat(below(14), () => below(size + 2)).filter((id) => !normalized.has(id));
    const skip = chance(50);
    entry.decode.push({ ids: sequence, skip, text: await tokenizer.decode(sequence, skip) });
  }
  all.push(entry);
}
console.log('[\n' + all.map((entry) => JSON.stringify(entry)).join(',\n') + '\n]');
