#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/model_options.h"
#include "rsa/engine_generator.h"
#include "rsa/forecast.h"
#include "rsa/generator.h"
#include "rsa/prompts.h"

namespace zaya::cli {

/// What solve and eval generate with: a model in this process, or endpoints elsewhere.
class RsaGenerator {
 public:
  void add_to(CLI::App& command);

  /// The model is loaded, or, for endpoints, its tokenizer is. Throws Error.
  void open(const std::string& model, bool thinking);
  rsa::Generator& generator() { return *generator_; }

  /// What a run will need at most; nothing for endpoints.
  std::optional<rsa::Forecast> forecast(const rsa::Settings& settings,
                                        const rsa::AggregationPrompt& prompt,
                                        const std::vector<ChatMessage>& messages, bool thinking,
                                        std::size_t problems) const;
  std::size_t peak_kv_bytes() const { return local_ != nullptr ? local_->peak_kv_bytes() : 0; }

 private:
  std::vector<std::string> endpoints_;
  std::size_t retries_ = 4;
  std::size_t slots_ = 0;
  std::uint64_t kv_memory_ = 0;
  ModelOptions run_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<rsa::Generator> generator_;  // after the engine: it goes first
  rsa::EngineGenerator* local_ = nullptr;
};

}  // namespace zaya::cli
