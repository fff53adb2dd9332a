#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "engine/output_text.h"

namespace zaya::cli {

/// Draws one answer on stdout as it comes. On a terminal reasoning is dim, or folded into one line
/// that counts its tokens. Elsewhere nothing but text is written: shown reasoning stands between
/// <think> and </think>, folded reasoning is left out.
class AnswerView {
 public:
  explicit AnswerView(bool show_thinking);
  AnswerView(const AnswerView&) = delete;
  AnswerView& operator=(const AnswerView&) = delete;
  ~AnswerView();  ///< leaves the terminal in order

  void add(const TextPiece& piece, std::size_t reasoning_tokens);
  /// Ends the last line.
  void finish();

 private:
  enum class State { nothing, thinking, answer_after_thinking, answering };

  void add_thinking(const std::string& text, std::size_t tokens);
  void show_count(std::size_t tokens);
  void end_thinking();

  bool show_thinking_;
  bool terminal_;
  bool styled_;
  State state_ = State::nothing;
  bool has_text_ = false;  // of the reasoning being written
  bool at_line_start_ = true;
  std::string held_newlines_;  // the end of reasoning has none
  std::size_t tokens_ = 0;
  std::chrono::steady_clock::time_point counted_{};
};

}  // namespace zaya::cli
