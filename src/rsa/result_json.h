#pragma once

#include "base/json.h"
#include "rsa/result.h"
#include "rsa/solver.h"

namespace zaya::rsa {

Json to_json(const Usage& usage);
/// `texts`: with reasoning and answer; else only what became of it.
Json to_json(const Candidate& candidate, bool texts);
/// Answer, votes, what each stage cost, and every candidate without its texts.
Json to_json(const Result& result);

/// All of an output, and back; the journal's form. Throws Error naming `where`.
Json output_json(const Output& output);
Output output_from_json(const Json& json, const std::string& where);

/// Everything that an event says, prompts and texts included, for a trace; null for pieces of text.
Json trace_json(const Event& event);

}  // namespace zaya::rsa
