#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/config.h"
#include "engine/generation_config.h"
#include "text/grammar/grammars.h"
#include "text/tokenizer.h"
#include "zaya/token.h"

namespace zaya {

/// What generating needs to know of a model besides its logits. Made once a model, shared by all
/// of its sequences.
struct ModelText {
  std::shared_ptr<const Tokenizer> tokenizer;   ///< null: token ids only, all text is empty
  std::shared_ptr<grammar::Grammars> grammars;  ///< of output formats; null without a tokenizer
  std::size_t vocab = 0;    ///< ids at or above are never sampled: the head has padded rows
  std::size_t context = 0;  ///< most tokens of prompt and output together

  std::vector<TokenId> eos;    ///< every id that ends an output, sorted
  std::optional<TokenId> bos;  ///< goes before a raw prompt
  GenerationConfig generation;

  std::optional<TokenId> think_open;   ///< the tags of kThinkOpen and kThinkClose, where
  std::optional<TokenId> think_close;  ///< the tokenizer has both as single tokens
  std::vector<TokenId> call_tags;      ///< of tool calls and their results; never left out
  std::optional<TokenId> turn;         ///< <|im_start|>: think blocks do not reach over it
  std::vector<TokenId> forced_close;   ///< what ends a think block by force
};

/// Reads tokenizer.json, tokenizer_config.json and generation_config.json of a checkpoint folder,
/// as far as they exist. Ends of an output are ids 106 and 1, <|im_end|>, and what config.json,
/// generation_config.json and tokenizer_config.json name.
/// `use_generation_config` false leaves generation_config.json unread.
ModelText load_model_text(const std::filesystem::path& folder, const ModelConfig& config,
                          bool use_generation_config = true);

/// Throws Error when there is no tokenizer, as the functions below do.
const Tokenizer& tokenizer_of(const ModelText& model);

/// The tokens of a raw prompt: BOS where the model wants one and the text does not begin with it,
/// and nothing after the text.
std::vector<TokenId> encode_prompt(const ModelText& model, std::string_view text);
/// The tokens of what a chat template printed: exactly those.
std::vector<TokenId> encode_rendered(const ModelText& model, std::string_view text);

/// Throws Error when a prompt is empty, has ids outside the vocabulary `config.vocab`, or leaves no
/// room in the context for a token of output.
void check_prompt(const ModelConfig& config, std::span<const TokenId> prompt);

/// Whether a prompt ends inside a think block that its last turn has opened.
bool ends_inside_think(const ModelText& model, std::span<const TokenId> prompt);

}  // namespace zaya
