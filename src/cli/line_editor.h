#pragma once

#include <memory>
#include <string>

struct editline;  // libedit
struct history;

namespace zaya::cli {

/// Reads what a person types, line by line. On a terminal with editing and a history: arrow keys,
/// Emacs keys, pasted text in one piece with its newlines, Alt-Enter for a new line. Where stdin or
/// stdout is no terminal: plain lines, no prompt, no control codes.
class LineEditor {
 public:
  enum class Result {
    line,
    cancelled,  ///< Ctrl-C: the line was given up
    end,        ///< Ctrl-D on an empty line, or the end of the input
  };

  LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;
  ~LineEditor();

  /// `line` comes without its final newline.
  Result read(std::string& line);

  bool is_interactive() const { return editor_ != nullptr; }
  /// Called by the editor's key bindings.
  void mark_cancelled() { cancelled_ = true; }

 private:
  Result read_edited(std::string& line);

  editline* editor_ = nullptr;
  history* history_ = nullptr;
  bool cancelled_ = false;
};

}  // namespace zaya::cli
