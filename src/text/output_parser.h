#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/output_event.h"
#include "text/tools/call_reader.h"
#include "text/tools/tool_set.h"
#include "text/utf8.h"

namespace zaya {

/// Turns a model's output into what an API speaks of: reasoning, content and tool calls.
///
///   OutputParser parser({.tools = std::make_shared<ToolSet>(tools), .id_seed = seed});
///   for each step:  for (const OutputEvent& e : parser.push(piece.reasoning, piece.answer)) ...
///   at the end:     for (const OutputEvent& e : parser.finish(reason != FinishReason::stop)) ...
///
/// It takes the two texts into which OutputText has split the output. Calls come as call_begin,
/// arguments..., call_end; strings stream while the model writes them, other values come when they
/// are whole, and the arguments of a call joined are always a JSON object. What comes out, joined,
/// does not depend on the pieces that went in.
///
/// - Without tools nothing is looked for: all text is reasoning or content.
/// - Calls may stand in the reasoning too. From the first one on, reasoning is held back: if an
///   answer follows, it was a draft and is given out as reasoning; if the output ends so, the calls
///   count. (When the output was cut off while thoughts went on after the call, it is a draft too.)
/// - A call of a function that was not declared is given out like any other when it has ZAYA1's own
///   wrapper; in the forms of other models it is content.
/// - Newlines around the reasoning and before the content are dropped, and the white space that
///   stands only between or after calls; of the text before a call one newline, which the chat
///   template puts there. So a message made of these events is rendered as the model wrote it.
class OutputParser {
 public:
  struct Options {
    std::shared_ptr<const ToolSet> tools = nullptr;  ///< null or empty: there are no calls
    std::uint64_t id_seed = 0;  ///< ids of calls follow from it; use one for each output
  };

  explicit OutputParser(Options options);

  /// More of both texts; either may be empty, and cut anywhere, even within a character.
  std::vector<OutputEvent> push(std::string_view reasoning, std::string_view content);
  /// The output has ended. `cut_off`: not by the model's own will (the length or a cancellation),
  /// so that its last words may be half of what was meant: an argument that is no string is then
  /// left out, a string keeps what there is.
  std::vector<OutputEvent> finish(bool cut_off);

  /// Calls begun so far.
  std::size_t calls() const { return calls_; }

 private:
  void push_reasoning(std::string_view text);
  void push_content(std::string_view text);
  void show_reasoning(std::string_view text);
  void show_content(std::string_view text);
  void show_call(OutputEvent event);
  void drop_drafts();
  void finish_thoughts(bool cut_off);

  Options options_;
  bool with_tools_;
  std::vector<OutputEvent> events_;  // of the push that runs
  std::size_t calls_ = 0;

  Utf8Stream reasoning_bytes_;
  Utf8Stream content_bytes_;
  ToolCallReader reader_;

  // Reasoning that was not given out: what the reader holds, and all from its first call on.
  ToolCallReader thoughts_;
  std::string held_thoughts_;
  std::size_t held_from_ = 0;  // where it begins in what thoughts_ has read
  std::vector<OutputEvent> drafts_;

  bool reasoning_begun_ = false;
  std::string reasoning_newlines_;
  bool content_begun_ = false;
  bool text_since_call_ = false;
  std::string content_space_;
};

}  // namespace zaya
