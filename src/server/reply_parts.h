#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/model_text.h"
#include "server/http.h"
#include "zaya/request.h"

namespace zaya {

/// What every answer to a call needs.
struct ReplyContext {
  std::shared_ptr<Exchange> exchange;
  const ModelText* text = nullptr;
  std::string id;
  std::string model;         ///< as the caller named it
  std::int64_t created = 0;  ///< seconds since 1970
  std::size_t prompt_tokens = 0;
  /// Members that an answer in one piece has besides; null: none. Read when it is sent.
  std::shared_ptr<const Json> more = nullptr;
};

/// prefix and 24 random hexadecimal digits.
std::string new_id(const char* prefix);
std::int64_t unix_time();

/// Tokens of a whole call.
struct Usage {
  std::size_t prompt = 0;
  std::size_t cached = 0;
  std::size_t completion = 0;
  std::size_t reasoning = 0;
  Json timings = nullptr;  ///< of the first choice of a prompt that came to its end

  /// Counts a choice; of several choices of one prompt the prompt counts once.
  void add(const RequestStats& stats, bool first_of_prompt);
};
Json usage_json(const Usage& usage);
/// Of one choice, with llama.cpp's names: what its clients show.
Json timings_json(const RequestStats& stats);

/// "stop", "length": OpenAI's words.
const char* openai_finish_reason(FinishReason reason);

/// One token as text. Part of a character is none alone: see Tokenizer::token_bytes.
std::string token_text(const ModelText& text, TokenId id);

/// An event of a stream: "event: NAME" if there is a name, and the JSON as data.
std::string sse(const Json& data, const char* name = nullptr);
inline constexpr const char* kSseDone = "data: [DONE]\n\n";
/// Starts a stream of events, with comments as signs of life.
void begin_sse(Exchange& exchange);

}  // namespace zaya
