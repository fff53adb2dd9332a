#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "rsa/generator.h"
#include "text/tokenizer.h"

namespace zaya::rsa {

struct EngineGeneratorOptions {
  std::size_t slots = 64;  ///< calls at once
  bool thinking = true;    ///< the chat template's enable_thinking
  std::string adapter = {};
  std::size_t draft_tokens = 0;  ///< SamplingParams::draft_tokens of every call
};

/// Generates with a model of this process. Calls with the same prompt share its pages: one of them
/// reads it, and the others begin when it has its first token, so that they find its state.
class EngineGenerator : public Generator {
 public:
  using Options = EngineGeneratorOptions;

  /// `engine` must outlive it.
  explicit EngineGenerator(Engine& engine, Options options = {});
  ~EngineGenerator() override;

  CallId start(Call call) override;
  void cancel(CallId call) override;
  std::size_t slots() const override { return options_.slots; }
  std::size_t count_tokens(std::string_view text) const override;
  std::string tail(std::string_view text, std::size_t tokens) const override;

  /// Most bytes of KV pages that were in use at a token, those of cached prefixes included.
  std::size_t peak_kv_bytes() const;

 private:
  struct State;

  Engine& engine_;
  Options options_;
  std::shared_ptr<State> state_;
};

/// The last `tokens` tokens of a text, as text: what a tokenizer makes of it, whole characters.
std::string last_tokens(const Tokenizer& tokenizer, std::string_view text, std::size_t tokens);

}  // namespace zaya::rsa
