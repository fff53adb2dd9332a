#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/chat_file.h"
#include "engine/generation.h"
#include "text/chat.h"

namespace zaya::cli {

/// One conversation with a model: the messages, the sequence that holds their state, and the
/// commands that a line may be.
class ChatSession {
 public:
  struct View {
    bool show_thinking = true;
    bool stats = false;
  };

  ChatSession(Runner& runner, std::shared_ptr<const Adapter> adapter,
              std::shared_ptr<const ModelText> text, ChatTemplate chat_template, SavedChat state,
              View view);

  /// Answers a line, or does what it says when it begins with a slash. False when it is /exit.
  /// Throws Error; the conversation then is as before the line.
  bool handle(std::string_view line);

 private:
  // The text that the sequence stands for, and its tokens as they were computed.
  struct Kept {
    std::string text;
    std::vector<TokenId> tokens;
  };

  void answer(std::string_view text);
  Kept prompt() const;
  Generation run(const std::vector<TokenId>& tokens, TextPiece& said);
  void keep(Kept prompt, const Generation& generation, const TextPiece& said);
  void report(const Generation& generation, const GenerationStats& stats, std::size_t cached) const;

  bool command(std::string_view name, std::string_view argument);
  void set_system(std::string_view text);
  void set_thinking(std::string_view how);
  void load(std::string_view path);
  std::string last_reasoning() const;

  Runner& runner_;
  std::shared_ptr<const ModelText> text_;
  ChatTemplate template_;
  SavedChat state_;
  View view_;
  Sequence sequence_;
  Kept kept_;
};

}  // namespace zaya::cli
