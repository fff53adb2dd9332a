#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "engine/stop.h"
#include "zaya/request.h"

namespace zaya {

/// What begins and ends reasoning in the text.
inline constexpr std::string_view kThinkOpen = "<think>";
inline constexpr std::string_view kThinkClose = "</think>";

/// The text of one sequence on its way from the decoder to a reader: ended by the first stop
/// string, split into reasoning and answer, and held back only as long as it may become a stop
/// string or a tag. Within a tool call of the answer the tags of reasoning are text: a call may
/// write a file that has them. What comes out does not depend on the pieces that went in.
class OutputText {
 public:
  struct Options {
    std::vector<std::string> stop = {};  ///< looked for in everything, tags and reasoning included
    bool inside = false;                 ///< the prompt has opened a think block
    bool split = false;                  ///< else all text is answer, tags included
    bool tags_are_tokens = true;  ///< tags come by push_tag(); else they are found in the text
  };
  enum class Tag { open, close };

  explicit OutputText(Options options);

  /// Returns what can be shown now; nothing once stopped().
  TextPiece push(std::string_view text);
  /// The same for a token that is a tag; `text` is its spelling, empty where decoding hides it.
  TextPiece push_tag(Tag tag, std::string_view text);
  /// No more text comes: the rest.
  TextPiece finish();

  /// Whether what comes next is reasoning.
  bool inside() const { return inside_; }
  bool stopped() const { return stop_.found() != nullptr; }
  /// The stop string that ended the text, or null.
  const std::string* stop_string() const { return stop_.found(); }

 private:
  struct Boundary {
    std::size_t begin;  // of the tag, in bytes of the whole text
    std::size_t end;
    bool opens;
  };

  void read(std::string_view text);
  std::size_t append(std::string_view text);
  void find_tags(std::string_view text);
  void mark(std::size_t begin, std::size_t end, bool opens);
  TextPiece release(std::size_t keep);

  bool split_;
  bool tags_are_tokens_;
  bool inside_;
  bool in_call_ = false;
  bool shown_inside_;  // inside_ at the point up to which text was released
  StringFinder stop_;
  StringFinder tags_;  // of calls, and of reasoning where those are text
  std::string held_;
  std::size_t released_ = 0;
  std::deque<Boundary> boundaries_;  // not yet released
};

}  // namespace zaya
