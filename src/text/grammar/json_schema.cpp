#include "text/grammar/json_schema.h"

#include <fmt/format.h>

#include "base/json.h"
#include "text/grammar/automaton.h"
#include "text/grammar/json_rules.h"
#include "text/grammar/schema_writer.h"
#include "zaya/error.h"

namespace zaya::grammar {
namespace {

// A model that has just closed its reasoning goes on with an empty line.
Program finish(Builder& builder, JsonRules& rules, Builder::Rule value) {
  const Builder::Rule start = builder.declare();
  builder.begin(start);
  builder.either([] {}, [&] { builder.literal("\n"); }, [&] { builder.literal("\n\n"); });
  builder.call(value);
  builder.end();
  rules.write_rules();
  return builder.finish(start, Automaton::kMostDepth);
}

}  // namespace

Program compile_json_schema(std::string_view schema, const std::string& where,
                            Unsupported unsupported) {
  if (schema.size() > kMostSchemaBytes) {
    throw Error({.where = where,
                 .what = "the schema is too long",
                 .expected = fmt::format("at most {} bytes", kMostSchemaBytes),
                 .found = fmt::format("{}", schema.size())});
  }
  const Json json = parse_json(schema, where);
  Builder builder;
  JsonRules rules(builder);
  SchemaForms forms(json, where, unsupported);
  SchemaWriter writer(builder, rules, forms);
  const Builder::Rule value = writer.value(json, "");
  writer.write_rules();
  try {
    return finish(builder, rules, value);
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
  return finish(builder, rules, rules.object());
}

}  // namespace zaya::grammar
