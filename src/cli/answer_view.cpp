#include "cli/answer_view.h"

#include <utility>

#include <fmt/format.h>

#include "cli/terminal.h"

namespace zaya::cli {
namespace {

constexpr const char* kDim = "\x1b[2m";
constexpr const char* kPlain = "\x1b[0m";
constexpr const char* kClearLine = "\r\x1b[K";

}  // namespace

AnswerView::AnswerView(bool show_thinking)
    : show_thinking_(show_thinking), terminal_(stdout_is_terminal()), styled_(stdout_is_styled()) {}

AnswerView::~AnswerView() {
  if (styled_ && state_ == State::thinking) print(kPlain);
}

void AnswerView::add(const TextPiece& piece, std::size_t reasoning_tokens) {
  add_thinking(piece.reasoning, reasoning_tokens);
  if (piece.answer.empty()) return;
  std::string text = terminal_ ? without_control_codes(piece.answer) : piece.answer;
  if (state_ == State::thinking) {
    end_thinking();
    state_ = State::answer_after_thinking;
  }
  // The blank lines between reasoning and answer are ours.
  if (state_ == State::answer_after_thinking) text.erase(0, text.find_first_not_of('\n'));
  if (text.empty()) return;
  state_ = State::answering;
  at_line_start_ = text.ends_with('\n');
  print(text);
}

void AnswerView::finish() {
  if (state_ == State::thinking) end_thinking();
  if (!at_line_start_) print("\n");
  state_ = State::nothing;
  at_line_start_ = true;
}

void AnswerView::add_thinking(const std::string& text, std::size_t tokens) {
  if (state_ != State::thinking && text.find_first_not_of('\n') == std::string::npos) return;
  if (text.empty()) return;
  if (state_ != State::thinking) {
    if (!at_line_start_) print("\n");
    state_ = State::thinking;
    has_text_ = false;
    at_line_start_ = true;
    held_newlines_.clear();
    if (show_thinking_) print(styled_ ? kDim : terminal_ ? "" : "<think>\n");
  }
  tokens_ = tokens;
  if (!show_thinking_) {
    show_count(tokens);
    return;
  }
  std::string shown = terminal_ ? without_control_codes(text) : text;
  if (!has_text_) shown.erase(0, shown.find_first_not_of('\n'));
  const std::size_t end = shown.find_last_not_of('\n') + 1;
  if (end > 0) {
    print(std::exchange(held_newlines_, {}) + shown.substr(0, end));
    has_text_ = true;
  }
  held_newlines_ += shown.substr(end);
}

// The folded block while it grows.
void AnswerView::show_count(std::size_t tokens) {
  using namespace std::chrono_literals;
  const auto now = std::chrono::steady_clock::now();
  if (!styled_ || now - counted_ < 100ms) return;
  counted_ = now;
  print(fmt::format("{}{}thinking, {} tokens{}", kClearLine, kDim, tokens, kPlain));
}

void AnswerView::end_thinking() {
  if (show_thinking_) {
    print(styled_ ? fmt::format("{}\n\n", kPlain) : terminal_ ? "\n\n" : "\n</think>\n\n");
  } else if (styled_) {
    print(fmt::format("{}{}thought for {} tokens (/think last unfolds){}\n", kClearLine, kDim,
                      tokens_, kPlain));
  }
  at_line_start_ = true;
}

}  // namespace zaya::cli
