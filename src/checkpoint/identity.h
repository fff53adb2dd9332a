#pragma once

#include <string>

#include "checkpoint/checkpoint.h"

namespace zaya {

/// A hash by which state that was computed with a checkpoint finds it again: over what config.json
/// means, and every stored tensor's name, type, shape and the 4 KiB in its middle (all of it, when
/// it is smaller). How tensors are spread over files does not matter; how they are laid out and
/// quantised does. It reads a few MB, so an edit of weights that leaves every sample alone is not
/// noticed; a fine-tune of the model is.
std::string checkpoint_identity(const Checkpoint& checkpoint);

}  // namespace zaya
