#pragma once

#include <filesystem>
#include <string>

#include "base/json.h"
#include "zaya/sampling_params.h"

namespace zaya::cli {

/// What /save writes and /load reads.
struct SavedChat {
  Json messages = Json::array();  ///< {role, content}, of the assistant also reasoning_content
  bool think = true;
  SamplingParams sampling;  ///< the numbers and max_tokens, think_budget; not seed, stops, biases
};

/// Writes one JSON file; a file of that name is replaced when the new one is complete.
void save_chat(const std::filesystem::path& path, const SavedChat& chat);

/// Reads it back, with what the file does not hold taken from `now`. Throws Error for a file that
/// is no saved conversation: wrong keys, roles out of order, values out of range.
SavedChat load_chat(const std::filesystem::path& path, const SavedChat& now);

}  // namespace zaya::cli
