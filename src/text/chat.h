#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/jinja/template.h"

namespace zaya {

/// One conversation for a chat template; the fields are the variables that Hugging Face's
/// apply_chat_template() passes.
struct ChatRequest {
  Json messages =
      Json::array();             ///< [{role, content, ...}]; content is a string or a list of parts
  Json tools = nullptr;          ///< null, or a list of JSON schemas of functions
  Json documents = nullptr;      ///< null, or a list of documents
  Json kwargs = Json::object();  ///< further variables, such as enable_thinking
  bool add_generation_prompt = true;  ///< open the assistant's turn at the end
};

/// A model's own way of writing a conversation down as a prompt.
class ChatTemplate {
 public:
  /// Reads the template of a model folder: chat_template.jinja, else `chat_template` of
  /// tokenizer_config.json (one template, or several with names: `default`, and `tool_use` for
  /// requests with tools), else chat_template.json, else the built-in ZAYA1 template, of which
  /// notes() then tells. Special tokens come from tokenizer_config.json and
  /// special_tokens_map.json. `file`, if there is one, is the template instead. Throws Error on a
  /// malformed file, naming template and line.
  static ChatTemplate load(const std::filesystem::path& folder,
                           const std::filesystem::path& file = {});
  /// The built-in ZAYA1 template.
  static ChatTemplate builtin();

  /// The prompt. Throws Error when the request has the wrong form, or with the template's own
  /// complaint and its line.
  std::string render(const ChatRequest& request, const jinja::RenderOptions& options = {}) const;

  /// The text of the template that a request with or without tools uses.
  const std::string& source(bool with_tools = false) const;
  /// What a person should know about where the template comes from; mostly empty.
  const std::vector<std::string>& notes() const { return notes_; }
  /// bos_token, eos_token, ... as the template sees them.
  const Json& special_tokens() const { return special_tokens_; }

 private:
  struct Named {
    std::string name;
    std::string source;
    jinja::Template parsed;
  };

  ChatTemplate() = default;
  void add(std::string name, std::string source, const std::string& where);
  const Named& pick(bool with_tools) const;

  std::vector<Named> templates_;
  Json special_tokens_ = Json::object();
  std::vector<std::string> notes_;
};

/// The text of the built-in template.
const char* builtin_chat_template();

}  // namespace zaya
