#pragma once

#include <filesystem>
#include <string>

namespace zaya {

/// The folder that a model argument means: an existing folder as it is, else a hub id
/// ("owner/name") looked up in the local Hugging Face cache (HF_HUB_CACHE, else HF_HOME/hub, else
/// ~/.cache/huggingface/hub), revision main. Nothing is downloaded. Throws Error that says where it
/// looked.
std::filesystem::path resolve_model_folder(const std::string& argument);

}  // namespace zaya
