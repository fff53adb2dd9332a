#include <algorithm>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/random.h"
#include "text/grammar/constraint.h"
#include "text/grammar/json_schema.h"
#include "text/tokenizer.h"
#include "zaya/error.h"

// grammar_bench TOKENIZER_JSON: what constrained decoding costs a token, by kind of schema. Texts
// are drawn at random from what the grammar allows. CPU times: other programs disturb them little.
namespace {

using zaya::TokenId;
using zaya::grammar::compile_json_schema;
using zaya::grammar::Constraint;
using zaya::grammar::Grammar;
using zaya::grammar::Program;
using zaya::grammar::TokenTrie;

double now() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

struct Schema {
  const char* name;
  const char* text;
};

constexpr Schema kSchemas[] = {
    {"any JSON value", "{}"},
    {"record of ten fields", R"({"type": "object", "properties": {
       "id": {"type": "integer"}, "name": {"type": "string"}, "email": {"type": "string"},
       "age": {"type": "integer", "minimum": 0, "maximum": 150},
       "kind": {"enum": ["person", "company", "place", "thing"]},
       "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 8},
       "score": {"type": "number", "minimum": 0, "maximum": 1}, "active": {"type": "boolean"},
       "address": {"type": "object", "properties": {"street": {"type": "string"},
         "city": {"type": "string"}}, "required": ["street", "city"]},
       "notes": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
       "required": ["id", "name", "email", "age", "kind", "tags", "score", "active", "address", "notes"]})"},
    {"strings of limited length", R"({"type": "array", "items": {"type": "string", "minLength": 5,
       "maxLength": 200}, "minItems": 20})"},
    {"strings by a pattern", R"({"type": "array", "items": {"type": "string",
       "pattern": "^[A-Za-z ,.'-]{1,80}$"}, "minItems": 20})"},
    {"dates and addresses", R"({"type": "array", "items": {"type": "object", "properties": {
       "at": {"type": "string", "format": "date-time"}, "from": {"type": "string", "format": "email"},
       "ip": {"type": "string", "format": "ipv4"}, "id": {"type": "string", "format": "uuid"}},
       "required": ["at", "from", "ip", "id"]}, "minItems": 10})"},
    {"recursive tree of three kinds", R"({"$ref": "#/$defs/n", "$defs": {"n": {"anyOf": [
       {"type": "object", "properties": {"op": {"const": "add"}, "args": {"type": "array",
         "items": {"$ref": "#/$defs/n"}, "maxItems": 3}}, "required": ["op", "args"]},
       {"type": "object", "properties": {"op": {"const": "neg"}, "arg": {"$ref": "#/$defs/n"}},
         "required": ["op", "arg"]},
       {"type": "object", "properties": {"op": {"const": "num"}, "value": {"type": "number"}},
         "required": ["op", "value"]}]}}})"},
};

void measure(const Schema& schema, const std::shared_ptr<const TokenTrie>& trie) {
  double start = now();
  Program program = compile_json_schema(schema.text);
  const double compile = now() - start;
  const auto grammar = std::make_shared<Grammar>(std::move(program), trie);
  std::vector<TokenId> closers;
  for (TokenId id = 0; id < static_cast<TokenId>(trie->vocab()); ++id) {
    const std::string_view text = trie->bytes(id);
    if (!text.empty() && text.find_first_not_of("\"]}") == std::string_view::npos) {
      closers.push_back(id);
    }
  }
  zaya::Random random(1);
  std::vector<double> masks;
  double apply = 0.0;
  double accept = 0.0;
  std::vector<float> logits(trie->vocab(), 1.0F);
  std::vector<float> allowed(trie->vocab());
  while (masks.size() < 3000) {
    Constraint constraint(grammar);
    for (int n = 0; n < 1000 && !constraint.finished(); ++n) {
      start = now();
      const auto mask = constraint.mask();
      masks.push_back(now() - start);
      start = now();
      mask->apply(logits, allowed);
      apply += now() - start;
      std::vector<TokenId> ids;
      if (random.uniform() < 0.1) {
        std::copy_if(closers.begin(), closers.end(), std::back_inserter(ids),
                     [&](TokenId id) { return mask->contains(id); });
      }
      if (ids.empty()) ids = mask->ids();
      if (ids.empty()) break;
      start = now();
      constraint.accept(ids[random.next() % ids.size()]);
      accept += now() - start;
    }
  }
  double sum = 0.0;
  for (const double m : masks) sum += m;
  const auto count = static_cast<double>(masks.size());
  const double first = masks.front();
  std::sort(masks.begin(), masks.end());
  fmt::print("{:<31} {:>8.2f} {:>8.3f} {:>8.3f} {:>8.3f} {:>8.3f} {:>8.3f} {:>8.3f} {:>8.1f}\n",
             schema.name, 1e3 * compile, 1e3 * first, 1e3 * sum / count,
             1e3 * masks[masks.size() * 99 / 100], 1e3 * masks.back(), 1e3 * apply / count,
             1e3 * accept / count, static_cast<double>(grammar->bytes()) / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: grammar_bench TOKENIZER_JSON\n");
    return 2;
  }
  try {
    const zaya::Tokenizer tokenizer = zaya::Tokenizer::load(argv[1]);
    const double start = now();
    const auto trie = std::make_shared<const TokenTrie>(tokenizer, std::vector<std::string_view>{});
    fmt::print("{} tokens, tree of {} nodes in {:.0f} ms\n\n", trie->vocab(), trie->nodes().size(),
               1e3 * (now() - start));
    fmt::print("{:<31} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}\n", "CPU ms", "compile",
               "1st mask", "mask", "99 %", "worst", "apply", "accept", "MB kept");
    for (const Schema& schema : kSchemas) measure(schema, trie);
  } catch (const zaya::Error& e) {
    fmt::print(stderr, "grammar_bench: {}\n", e.what());
    return 1;
  }
  return 0;
}
