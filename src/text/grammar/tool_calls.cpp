#include "text/grammar/tool_calls.h"

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "text/grammar/json_schema.h"
#include "text/grammar/schema_writer.h"
#include "zaya/error.h"

namespace zaya::grammar {
namespace {

constexpr std::string_view kValueClose = "</parameter>";
constexpr std::size_t kMostNodes = 100'000;

CharSet only(char32_t c) {
  return {c, c};
}

CharSet without(CharSet set, char32_t c) {
  set.remove(c, c);
  return set;
}

CharSet common(const CharSet& set, char32_t c) {
  return set.contains(c) ? only(c) : CharSet();
}

// What `graph` allows, less the texts that contain the closing tag. The tag begins with the only
// '<' in it, so that how much of it has been read is easy to follow.
std::optional<Graph> without_close(const Graph& graph) {
  Graph result;
  const auto length = static_cast<std::uint32_t>(kValueClose.size());
  std::vector<std::uint32_t> known(graph.nodes.size() * length, 0);
  std::vector<std::pair<std::uint32_t, std::uint32_t>> order{{0, 0}};  // node, bytes of the tag
  const auto at = [&](std::uint32_t node, std::uint32_t matched) {
    std::uint32_t& id = known[node * length + matched];
    if (id == 0 && (node != 0 || matched != 0)) {
      id = result.add_node();
      order.emplace_back(node, matched);
    }
    return id;
  };
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (order.size() > kMostNodes) return {};
    const auto [node, matched] = order[i];
    const auto id = static_cast<std::uint32_t>(i);
    result.nodes[id].end = graph.nodes[node].end;
    const auto next = static_cast<char32_t>(kValueClose[matched]);
    for (const Graph::Edge& edge : graph.nodes[node].edges) {
      const auto add = [&](CharSet on, std::uint32_t to) {
        if (!on.empty()) result.nodes[id].edges.push_back({std::move(on), to});
      };
      if (edge.on.empty()) {
        const std::uint32_t to = at(edge.to, matched);
        result.nodes[id].edges.push_back({{}, to});
        continue;
      }
      add(common(edge.on, '<'), at(edge.to, 1));
      if (matched > 0 && matched + 1 < length) add(common(edge.on, next), at(edge.to, matched + 1));
      CharSet others = without(edge.on, '<');
      if (matched > 0) others.remove(next, next);
      add(std::move(others), at(edge.to, 0));
    }
  }
  return result;
}

class CallWriter {
 public:
  CallWriter(Builder& builder, JsonRules& rules, const Tokenizer& tokenizer)
      : builder_(builder), rules_(rules), tokenizer_(tokenizer) {}

  Builder::Rule call(std::span<const ToolFunction> tools) {
    const Builder::Rule rule = builder_.declare();
    std::vector<Builder::Rule> functions;
    std::set<std::string_view> names;
    for (const ToolFunction& tool : tools) {
      if (names.insert(tool.name).second) functions.push_back(function(tool));
    }
    builder_.begin(rule);
    tag(kCallOpen);
    builder_.byte('\n');
    builder_.either_of(functions.size(), [&](std::size_t i) { builder_.call(functions[i]); });
    builder_.byte('\n');
    tag(kCallClose);
    builder_.end();
    return rule;
  }

 private:
  struct Parameter {
    std::string name;
    Builder::Rule value;
    bool required;
  };

  void tag(std::string_view spelling) {
    if (const auto token = tokenizer_.find(spelling)) {
      builder_.token(*token);
    } else {
      builder_.literal(spelling);
    }
  }

  static void check_name(const std::string& name, const std::string& where) {
    if (name.empty() || name.find_first_of(">\n") != std::string::npos) {
      throw Error({.where = where,
                   .what = "cannot be written in a call",
                   .expected = "a name without > and line breaks",
                   .found = fmt::format("\"{}\"", name.substr(0, 100))});
    }
  }

  Builder::Rule function(const ToolFunction& tool) {
    const std::string where = fmt::format("tool \"{}\"", tool.name.substr(0, 100));
    check_name(tool.name, where);
    if (tool.parameters.size() > kMostSchemaBytes) {
      throw Error({.where = where, .what = "the schema of its parameters is too long"});
    }
    const Json schema =
        tool.parameters.empty() ? Json::object() : parse_json(tool.parameters, where);
    SchemaForms forms(schema, where, tool.strict ? Unsupported::refuse : Unsupported::ignore);
    SchemaWriter writer(builder_, rules_, forms);
    std::vector<Builder::Rule> ways;
    for (const auto& form : forms.forms(schema, "")) {
      ways.push_back(parameters_of(form, forms, writer));
    }
    writer.write_rules();
    const Builder::Rule rule = builder_.declare();
    builder_.begin(rule);
    builder_.literal(fmt::format("<function={}>\n", tool.name));
    builder_.either_of(ways.size(), [&](std::size_t i) { builder_.call(ways[i]); });
    builder_.literal("</function>");
    builder_.end();
    return rule;
  }

  Builder::Rule parameters_of(const SchemaForms::Form& form, SchemaForms& forms,
                              SchemaWriter& writer) {
    std::vector<Parameter> parameters;
    std::set<std::string> required;
    if (const auto it = form.schema.find("required"); it != form.schema.end() && it->is_array()) {
      for (const Json& name : *it) {
        if (name.is_string()) required.insert(name.get<std::string>());
      }
    }
    const auto add = [&](const std::string& name, const Json& schema, const std::string& path) {
      check_name(name, forms.where() + path);
      parameters.push_back({name, value(schema, path, forms, writer), required.erase(name) > 0});
    };
    if (const auto it = form.schema.find("properties"); it != form.schema.end()) {
      if (!it->is_object()) forms.fail(form.path + "/properties", "must be an object");
      for (const auto& [name, schema] : it->items()) {
        add(name, schema, form.path + "/properties/" + name);
      }
    }
    for (const std::string& name : std::set<std::string>(required)) add(name, true, form.path);

    const Builder::Rule rule = builder_.declare();
    builder_.begin(rule);
    for (const Parameter& parameter : parameters) {
      const auto write = [&] {
        builder_.literal(fmt::format("<parameter={}>\n", parameter.name));
        builder_.call(parameter.value);
        builder_.literal(fmt::format("\n{}\n", kValueClose));
      };
      if (parameter.required) {
        write();
      } else {
        builder_.optional(write);
      }
    }
    builder_.end();
    return rule;
  }

  // The rule of a parameter's value.
  Builder::Rule value(const Json& schema, const std::string& path, SchemaForms& forms,
                      SchemaWriter& writer) {
    std::vector<std::function<void()>> ways;
    const auto alternatives = forms.forms(schema, path);
    for (const auto& form : alternatives) {
      if (form.schema.contains("enum")) {
        SchemaForms::Form bare = form;
        Json& values = bare.schema["enum"];
        values.erase(std::remove_if(values.begin(), values.end(),
                                    [](const Json& value) {
                                      return value.is_string() &&
                                             value.get_ref<const std::string&>().find(
                                                 kValueClose) != std::string::npos;
                                    }),
                     values.end());
        ways.emplace_back([&writer, bare] { writer.write_enum(bare, Encoding::raw); });
        continue;
      }
      const auto types = writer.types_of(form);
      if (types.empty()) return free_text();  // whatever it is, it can be written
      for (const std::string& type : types) {
        if (type != "string") {
          Json one = form.schema;
          one["type"] = type;
          const Builder::Rule rule = writer.value(one, form.path);
          ways.emplace_back([this, rule] { builder_.call(rule); });
          continue;
        }
        SchemaWriter::Text text = writer.text_of(form);
        if (!text.graph && text.length.none()) return free_text();
        const Builder::Rule rule = limited_text(text, forms, form.path);
        ways.emplace_back([this, rule] { builder_.call(rule); });
      }
    }
    const Builder::Rule rule = builder_.declare();
    builder_.begin(rule);
    builder_.either_of(ways.size(), [&](std::size_t i) { ways[i](); });
    builder_.end();
    return rule;
  }

  Builder::Rule limited_text(const SchemaWriter::Text& text, const SchemaForms& forms,
                             const std::string& path) {
    const Builder::Rule rule = builder_.declare();
    builder_.begin(rule);
    if (text.graph) {
      const auto graph = without_close(*text.graph);
      if (!graph) forms.fail(path, "the pattern is too large");
      write_graph(builder_, *graph, Encoding::raw);
    } else {
      write_text(text.length);
    }
    builder_.end();
    return rule;
  }

  Builder::Rule free_text() {
    if (!free_text_) {
      free_text_ = builder_.declare();
      builder_.begin(*free_text_);
      write_text({});
      builder_.end();
    }
    return *free_text_;
  }

  // A text without the closing tag: a loop for each number of its bytes that have just been
  // written, which all count the same characters.
  void write_text(LengthLimits length) {
    const std::size_t states = kValueClose.size();
    std::vector<Pc> loops(states);
    std::vector<std::pair<Pc, std::size_t>> jumps;  // to loops
    std::vector<Pc> ends;
    for (std::size_t matched = 0; matched < states; ++matched) {
      const auto next = static_cast<char32_t>(kValueClose[matched]);
      const PlainText plain = matched == 0 ? PlainText::tag : PlainText::none;
      loops[matched] = builder_.emit(
          Op::loop, static_cast<std::uint32_t>(builder_.add_loop(length.min, length.max, plain)));
      ends.push_back(builder_.emit(Op::jump));
      builder_.begin_loop_body(loops[matched]);
      CharSet others = without(CharSet::all(), '<');
      const bool goes_on = matched > 0 && matched + 1 < states;
      if (matched > 0) others.remove(next, next);
      const Pc split = builder_.emit_split(goes_on ? 3 : 2);
      builder_.aim_split(split, 0, builder_.here());
      builder_.byte('<');
      jumps.emplace_back(builder_.emit(Op::jump), 1);
      if (goes_on) {
        builder_.aim_split(split, 2, builder_.here());
        write_character(builder_, only(next), Encoding::raw);
        jumps.emplace_back(builder_.emit(Op::jump), matched + 1);
      }
      builder_.aim_split(split, 1, builder_.here());
      write_character(builder_, others, Encoding::raw);
      jumps.emplace_back(builder_.emit(Op::jump), 0);
      builder_.end_loop(loops[matched]);
    }
    for (const auto& [jump, loop] : jumps) builder_.aim(jump, loops[loop]);
    for (const Pc jump : ends) builder_.aim(jump, builder_.here());
  }

  Builder& builder_;
  JsonRules& rules_;
  const Tokenizer& tokenizer_;
  std::optional<Builder::Rule> free_text_;
};

}  // namespace

Builder::Rule write_tool_calls(Builder& builder, JsonRules& rules,
                               std::span<const ToolFunction> tools, bool several,
                               const Tokenizer& tokenizer) {
  if (tools.empty())
    throw Error({.where = "tools", .what = "a call is asked for, but there are none"});
  const Builder::Rule call = CallWriter(builder, rules, tokenizer).call(tools);
  if (!several) return call;
  const Builder::Rule calls = builder.declare();
  builder.begin(calls);
  builder.call(call);
  builder.repeat(0, Loop::kUnbounded, PlainText::none, [&] {
    builder.byte('\n');
    builder.call(call);
  });
  builder.end();
  return calls;
}

Program compile_tool_calls(std::span<const ToolFunction> tools, bool several,
                           const Tokenizer& tokenizer) {
  Builder builder;
  JsonRules rules(builder);
  const Builder::Rule calls = write_tool_calls(builder, rules, tools, several, tokenizer);
  return finish_output(builder, rules, calls);
}

}  // namespace zaya::grammar
