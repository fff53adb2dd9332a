#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

#include "text/grammar/constraint.h"
#include "text/grammar/token_trie.h"
#include "text/tokenizer.h"
#include "zaya/output_format.h"

namespace zaya::grammar {

/// The grammars of one model's output formats: compiled when first asked for, the last kMost kept,
/// with what they have learnt of their states. Several threads may use it at once.
class Grammars {
 public:
  static constexpr std::size_t kMost = 16;

  explicit Grammars(std::shared_ptr<const Tokenizer> tokenizer)
      : tokenizer_(std::move(tokenizer)) {}

  /// `format` is not text. Throws Error for a schema that is damaged or not supported.
  std::shared_ptr<Grammar> of(const OutputFormat& format);

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::mutex lock_;
  std::shared_ptr<const TokenTrie> trie_;  // made with the first grammar
  std::list<std::pair<OutputFormat, std::shared_ptr<Grammar>>> known_;  // the latest first
};

}  // namespace zaya::grammar
