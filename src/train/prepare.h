#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/progress.h"
#include "text/chat.h"
#include "text/tokenizer.h"
#include "zaya/token.h"

namespace zaya::train {

/// One example as tokens.
struct TokenExample {
  std::vector<TokenId> tokens;
  std::vector<std::uint8_t> loss;  ///< 1: a target
};

/// Turns lines of JSONL into examples, the way the model's own folder says.
class ExampleEncoder {
 public:
  /// Reads tokenizer, chat template and config of `model`.
  explicit ExampleEncoder(const std::filesystem::path& model);

  /// {"text": ...}: bos, the text, eos; every token is a target. {"messages": [...], "tools": ...}:
  /// the chat template's text; targets are what the assistant writes, from the end of the
  /// generation prompt to the end of the turn. A turn that the template writes otherwise when
  /// others follow it (without its thoughts, say) is no target.
  ///
  /// `most` > 0 keeps conversations to that many tokens, the answer whole: a longer one loses the
  /// tail of its last think block, or, where that is not enough, first the think blocks of earlier
  /// turns; nullopt when it is still too long (arXiv:2605.05365). Throws Error naming `where`.
  std::optional<TokenExample> encode(const Json& line, std::size_t most,
                                     const std::string& where) const;

  /// Says which texts become which tokens: of tokenizer and template.
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  TokenExample text(const std::string& text) const;
  TokenExample chat(const ChatRequest& request, const std::string& where) const;
  bool trim(TokenExample& example, std::size_t most) const;

  Tokenizer tokenizer_;
  ChatTemplate template_;
  TokenId bos_;
  TokenId eos_;
  std::optional<TokenId> think_open_;
  std::optional<TokenId> think_close_;
  std::string fingerprint_;
};

struct PrepareOptions {
  std::vector<std::filesystem::path> inputs;        ///< JSONL
  std::filesystem::path model;                      ///< whose tokenizer and chat template to use
  std::filesystem::path out;                        ///< folder of shards
  std::size_t max_tokens = 0;                       ///< of a conversation; 0: any
  std::size_t shard_bytes = std::size_t{32} << 20;  ///< of input
};

struct PrepareResult {
  std::size_t shards = 0;
  std::size_t kept = 0;  ///< shards of these, that were there already
  std::size_t examples = 0;
  std::size_t dropped = 0;  ///< conversations longer than max_tokens whatever is trimmed
  std::size_t tokens = 0;
  std::size_t targets = 0;
};

/// Writes token shards, a part of an input each, on all cores. A shard that is there already and
/// was made from the same bytes in the same way is kept, so a run that was ended goes on where it
/// was. Throws Error naming file and line.
PrepareResult prepare(const PrepareOptions& options, const Progress& progress = {});

}  // namespace zaya::train
