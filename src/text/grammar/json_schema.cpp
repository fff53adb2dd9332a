#include "text/grammar/json_schema.h"

#include <fmt/format.h>

#include "base/json.h"
#include "text/grammar/automaton.h"
#include "text/grammar/schema_writer.h"
#include "zaya/error.h"

namespace zaya::grammar {

Builder::Rule write_json_schema(Builder& builder, JsonRules& rules, std::string_view schema,
                                const std::string& where, Unsupported unsupported) {
  if (schema.size() > kMostSchemaBytes) {
    throw Error({.where = where,
                 .what = "the schema is too long",
                 .expected = fmt::format("at most {} bytes", kMostSchemaBytes),
                 .found = fmt::format("{}", schema.size())});
  }
  const Json json = parse_json(schema, where);
  SchemaForms forms(json, where, unsupported);
  SchemaWriter writer(builder, rules, forms);
  const Builder::Rule value = writer.value(json, "");
  writer.write_rules();
  return value;
}

Program compile_json_schema(std::string_view schema, const std::string& where,
                            Unsupported unsupported) {
  Builder builder;
  JsonRules rules(builder);
  const Builder::Rule value = write_json_schema(builder, rules, schema, where, unsupported);
  try {
    return finish_output(builder, rules, value);
  } catch (const Error& error) {
    throw Error({.where = where,
                 .what = error.detail().what,
                 .expected = error.detail().expected,
                 .found = error.detail().found});
  }
}

Program compile_json_object() {
  Builder builder;
  JsonRules rules(builder);
  return finish_output(builder, rules, rules.object());
}

Program finish_output(Builder& builder, JsonRules& rules, Builder::Rule text) {
  const Builder::Rule start = builder.declare();
  builder.begin(start);
  builder.either([] {}, [&] { builder.literal("\n"); }, [&] { builder.literal("\n\n"); });
  builder.call(text);
  builder.end();
  rules.write_rules();
  return builder.finish(start, Automaton::kMostDepth);
}

}  // namespace zaya::grammar
