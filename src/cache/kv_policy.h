#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "model/state.h"

namespace zaya {

/// How each layer's keys and values are stored, as a table: [layers].
using KvPolicy = std::vector<KvLayer>;

/// "bf16", "fp8", "int8" or "int4", and vLLM's spellings "bfloat16" and "fp8_e4m3". Throws Error
/// for any other name; f32 follows from the compute mode alone.
KvFormat parse_kv_format(std::string_view name, const std::string& where);

/// Every layer alike; "auto" is an empty policy: as the compute mode says.
KvPolicy uniform_kv_policy(const ModelConfig& config, std::string_view name);

/// {"layers": [{"keys": NAME, "values": NAME}, ...]}, one for each layer of the model. Other
/// members are for people and are not read. Throws Error naming the file and what is wrong.
KvPolicy read_kv_policy(const std::filesystem::path& file, const ModelConfig& config);
/// The text of such a file. `note`: members that tell how it was made.
std::string kv_policy_json(const KvPolicy& policy, const Json& note);

}  // namespace zaya
