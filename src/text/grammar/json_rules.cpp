#include "text/grammar/json_rules.h"

#include <algorithm>
#include <span>
#include <utility>

#include "text/grammar/number.h"
#include "text/utf8.h"

namespace zaya::grammar {
namespace {

ByteSet digit_set(char first) {
  ByteSet set;
  for (char c = first; c <= '9'; ++c) set.set(static_cast<unsigned char>(c));
  return set;
}

// Sorted texts without repeats, of which the first `from` bytes are written.
void write_sorted(Builder& builder, std::span<const std::string> texts, std::size_t from) {
  const std::string& first = texts.front();
  const std::string& last = texts.back();
  const auto common = static_cast<std::size_t>(
      std::mismatch(first.begin(), first.end(), last.begin(), last.end()).first - first.begin());
  builder.literal(std::string_view(first).substr(from, common - from));
  if (texts.size() == 1) return;
  std::vector<std::span<const std::string>> groups;
  const bool whole = first.size() == common;  // one of the texts ends here
  for (std::size_t begin = whole ? 1 : 0; begin < texts.size();) {
    std::size_t end = begin + 1;
    while (end < texts.size() && texts[end][common] == texts[begin][common]) ++end;
    groups.push_back(texts.subspan(begin, end - begin));
    begin = end;
  }
  builder.either_of(groups.size() + (whole ? 1 : 0), [&](std::size_t i) {
    if (i < groups.size()) write_sorted(builder, groups[i], common);
  });
}

}  // namespace

void write_literals(Builder& builder, std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  if (texts.empty()) return builder.fail();
  write_sorted(builder, texts, 0);
}

Builder::Rule JsonRules::made(std::optional<Builder::Rule>& rule,
                              const std::function<void()>& write) {
  if (!rule) {
    rule = builder_.declare();
    unwritten_.emplace_back(*rule, write);
  }
  return *rule;
}

void JsonRules::write_rules() {
  while (!unwritten_.empty()) {
    const auto [rule, write] = std::move(unwritten_.back());
    unwritten_.pop_back();
    builder_.begin(rule);
    write();
    builder_.end();
  }
}

void JsonRules::write_gap() {
  builder_.either([] {}, [&] { builder_.byte(' '); },
                  [&] {
                    builder_.byte('\n');
                    builder_.repeat(0, kMostIndent, PlainText::none, [&] { builder_.byte(' '); });
                  });
}

void JsonRules::write_value() {
  builder_.either([&] { builder_.call(object()); }, [&] { builder_.call(array()); },
                  [&] { builder_.call(string()); }, [&] { builder_.call(number()); },
                  [&] {
                    write_literals(builder_, {"true", "false", "null"});
                  });
}

void JsonRules::write_object() {
  const auto member = [&] {
    builder_.call(string());
    builder_.byte(':');
    gap();
    builder_.call(value());
  };
  builder_.byte('{');
  builder_.optional([&] {
    gap();
    member();
    builder_.repeat(0, Loop::kUnbounded, PlainText::none, [&] {
      builder_.byte(',');
      gap();
      member();
    });
    gap();
  });
  builder_.byte('}');
}

void JsonRules::write_array() {
  builder_.byte('[');
  builder_.optional([&] {
    gap();
    builder_.call(value());
    builder_.repeat(0, Loop::kUnbounded, PlainText::none, [&] {
      builder_.byte(',');
      gap();
      builder_.call(value());
    });
    gap();
  });
  builder_.byte(']');
}

void JsonRules::write_string(LengthLimits length) {
  builder_.byte('"');
  builder_.repeat(length.min, length.max, PlainText::json,
                  [&] { write_any_json_character(builder_); });
  builder_.byte('"');
}

void JsonRules::digits(std::uint32_t min, std::uint32_t max) {
  builder_.repeat(min, max, PlainText::none, [&] { builder_.bytes(digit_set('0')); });
}

void JsonRules::write_integer() {
  const auto whole = [&] {
    builder_.bytes(digit_set('1'));
    digits(0, kIntegerDigits - 1);
  };
  builder_.either([&] { builder_.byte('0'); }, whole,
                  [&] {
                    builder_.byte('-');
                    whole();
                  });
}

void JsonRules::write_number() {
  builder_.optional([&] { builder_.byte('-'); });
  builder_.either([&] { builder_.byte('0'); },
                  [&] {
                    builder_.bytes(digit_set('1'));
                    digits(0, kDecimalDigits - 1);
                  });
  builder_.optional([&] {
    builder_.byte('.');
    digits(1, kDecimalDigits);
  });
  builder_.optional([&] {
    builder_.bytes(ByteSet().set('e').set('E'));
    builder_.optional([&] { builder_.bytes(ByteSet().set('+').set('-')); });
    digits(1, 2);
  });
}

void JsonRules::write_other_key(const std::vector<std::string>& names) {
  CharSet plain = CharSet::all();
  plain.remove(0, 0x1f);
  plain.remove('"', '"');
  plain.remove('\\', '\\');
  // The names as a tree of characters. What leaves it is no name, whatever follows; what ends in
  // it is no name unless one ends there.
  Graph tree;
  std::vector<bool> is_name(1, false);
  for (const std::string& name : names) {
    // A name that needs escapes cannot be spelt without.
    if (std::any_of(name.begin(), name.end(),
                    [](char c) { return c == '"' || c == '\\' || (c >= 0 && c < ' '); })) {
      continue;
    }
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < name.size();) {
      const char32_t c = next_code_point(name, i);
      const auto& edges = tree.nodes[node].edges;
      const auto edge = std::find_if(edges.begin(), edges.end(),
                                     [&](const Graph::Edge& e) { return e.on.contains(c); });
      if (edge != edges.end()) {
        node = edge->to;
        continue;
      }
      const std::uint32_t next = tree.add_node();
      is_name.push_back(false);
      tree.nodes[node].edges.push_back({CharSet(c, c), next});
      node = next;
    }
    is_name[node] = true;
  }
  Graph leaves = tree;
  const std::uint32_t out = leaves.add_node();
  leaves.nodes[out].end = true;
  for (std::size_t n = 0; n < tree.nodes.size(); ++n) {
    tree.nodes[n].end = !is_name[n];
    CharSet others = plain;
    for (const Graph::Edge& edge : tree.nodes[n].edges) {
      for (const auto& [first, last] : edge.on.ranges()) others.remove(first, last);
    }
    if (!others.empty()) leaves.nodes[n].edges.push_back({others, out});
  }
  builder_.byte('"');
  builder_.either([&] { write_graph(builder_, tree, Encoding::raw); },
                  [&] {
                    write_graph(builder_, leaves, Encoding::raw);
                    builder_.repeat(0, Loop::kUnbounded, PlainText::json,
                                    [&] { write_character(builder_, plain, Encoding::raw); });
                  });
  builder_.byte('"');
}

}  // namespace zaya::grammar
