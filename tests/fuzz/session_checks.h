#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "cache/session_file.h"
#include "zaya/error.h"

namespace zaya {

/// What the corpus's sessions are of: two layers of one head.
struct SmallState {
  StateLayout layout{config(), KvFormat::bf16};
  SessionOwner owner{.checkpoint = "0123456789abcdef", .compute = "fast"};
  std::shared_ptr<PagePool> pool = std::make_shared<PagePool>();
  std::shared_ptr<const std::vector<float>> tail =
      std::make_shared<const std::vector<float>>(layout.layers() * layout.tail_floats());

  Sequence empty() const { return {layout, pool, tail}; }

  static ModelConfig config() {
    ModelConfig config;
    config.layers = 2;
    config.heads = 1;
    config.kv_heads = 1;
    config.head_dim = 2;
    config.sliding = {false, true};
    config.window = 40;
    return config;
  }
};

/// Any bytes are a session with an error, or one whose state a sequence can take over. The checksum
/// is left out, which no mutation would pass.
inline void check_session(std::span<const std::byte> bytes) {
  static const SmallState state;
  try {
    const SessionFile session(bytes, "fuzz", state.layout, state.owner);
    Sequence sequence = state.empty();
    session.restore(sequence);
    if (sequence.tokens() != session.tokens()) __builtin_trap();
  } catch (const Error&) {
  }
}

}  // namespace zaya
