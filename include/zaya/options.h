#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace zaya {

/// Numerics of the large matrix products.
enum class Compute {
  f32,   ///< inputs in fp32, weights as stored: reproduces the reference implementation
  fast,  ///< inputs as the weights' format takes them (InputKind), KV cache in bf16
};

/// How a model is run.
struct RunnerOptions {
  Compute compute = Compute::fast;
  int threads = 0;             ///< 0: every core this process may use
  std::size_t chunk = 2048;    ///< most tokens of one prompt in one step; bounds the work space
  bool deterministic = false;  ///< the same bits whatever a token's batch mates and chunk are
  /// How keys and values are kept: "auto" (f32 or bf16, as `compute` says), "bfloat16", "fp8",
  /// "int8" or "int4".
  std::string kv_cache_dtype = "auto";
  /// A file that says so for each layer, as `zaya kv-policy` writes it; empty: all alike.
  std::string kv_policy = {};
  /// Bytes for K and V of all sequences together. None: no limit; in an Engine, half of the memory
  /// that is free, but no less than 256 MiB.
  std::optional<std::size_t> kv_memory = {};
  /// Few outputs side by side take their logits by a screened head: from a 4-bit copy, and exactly
  /// from those rows that could win or matter to sampling. Faster; takes memory for the copy.
  bool screen_head = false;
};

/// How many requests share a model.
struct SchedulerOptions {
  /// Most new tokens of a step in which outputs go on: bounds how long a prompt holds them up.
  /// Smaller steps read prompts more slowly: on two cores 128 tokens took 0.9 s, 256 took 1.3 s.
  std::size_t step_tokens = 256;
  /// Most new tokens of a step of prompts alone; bounds the work space.
  std::size_t prompt_tokens = 2048;
  std::size_t max_running = 64;        ///< sequences that hold memory at once
  std::size_t cached_sequences = 256;  ///< finished ones kept for their prefixes; 0: none
};

}  // namespace zaya
