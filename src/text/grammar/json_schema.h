#pragma once

#include <string>
#include <string_view>

#include "text/grammar/json_rules.h"
#include "text/grammar/program.h"
#include "text/grammar/schema_forms.h"

namespace zaya::grammar {

/// The longest schema that is taken, in bytes.
constexpr std::size_t kMostSchemaBytes = std::size_t{256} << 10;

/// The grammar of the JSON texts that satisfy a JSON Schema (draft 2020-12, and what older drafts
/// say otherwise where that is clear): docs/structured-output.md lists the keywords. Properties
/// come in the schema's order; what the schema neither names nor asks for is left out. Throws
/// Error naming the place in the schema for one that is damaged, contradicts itself or, unless told
/// to ignore that, has keywords that cannot be kept. `where` is its name in messages.
Program compile_json_schema(std::string_view schema, const std::string& where = "json_schema",
                            Unsupported unsupported = Unsupported::refuse);

/// The same as a rule of a larger grammar.
Builder::Rule write_json_schema(Builder& builder, JsonRules& rules, std::string_view schema,
                                const std::string& where, Unsupported unsupported);

/// The grammar of any JSON object.
Program compile_json_object();

/// The grammar of an output that is `text`, written with `rules`. A model that has just closed its
/// reasoning goes on with an empty line, so there may be one before it.
Program finish_output(Builder& builder, JsonRules& rules, Builder::Rule text);

}  // namespace zaya::grammar
