#include "cli/line_editor.h"

#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <histedit.h>
#include <langinfo.h>

#include "cli/terminal.h"
#include "zaya/error.h"

namespace zaya::cli {
namespace {

constexpr int kHistoryLines = 1000;
constexpr std::size_t kMaxPaste = std::size_t{1} << 20;

// A terminal that is asked to do so wraps pasted text in these (bracketed paste mode).
constexpr const char* kPasteModeOn = "\x1b[?2004h";
constexpr const char* kPasteModeOff = "\x1b[?2004l";
constexpr std::wstring_view kPasteEnd = L"\x1b[201~";

char* prompt(EditLine*) {
  // libedit takes what is between two \1 as having no width, and drops it at the very end.
  static char styled[] = "\1\x1b[1m\1>\1\x1b[0m\1 ";
  static char plain[] = "> ";
  return stdout_is_styled() ? styled : plain;
}

unsigned char insert(EditLine* editor, const std::wstring& text) {
  return el_winsertstr(editor, text.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
}

unsigned char on_newline(EditLine* editor, int) {
  return insert(editor, L"\n");
}

unsigned char on_cancel(EditLine* editor, int) {
  void* self = nullptr;
  el_get(editor, EL_CLIENTDATA, &self);
  static_cast<LineEditor*>(self)->mark_cancelled();
  return CC_EOF;
}

unsigned char on_suspend(EditLine*, int) {
  std::raise(SIGTSTP);
  return CC_REDISPLAY;
}

unsigned char on_paste(EditLine* editor, int) {
  std::wstring raw;
  wchar_t c = 0;
  while (!raw.ends_with(kPasteEnd) && raw.size() < kMaxPaste && el_wgetc(editor, &c) == 1) raw += c;
  if (raw.ends_with(kPasteEnd)) raw.resize(raw.size() - kPasteEnd.size());
  std::wstring text;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] == L'\r') {  // how terminals send newlines; some send both
      if (i + 1 == raw.size() || raw[i + 1] != L'\n') text += L'\n';
    } else if (raw[i] >= L' ' || raw[i] == L'\n' || raw[i] == L'\t') {
      text += raw[i];
    }
  }
  return insert(editor, text);
}

// libedit reads characters in the encoding of the locale; ours is UTF-8 whatever the user's is.
void use_utf8() {
  std::setlocale(LC_CTYPE, "");
  if (std::string_view(nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
}

LineEditor::Result read_plain(std::string& line) {
  char* data = nullptr;
  std::size_t capacity = 0;
  const ssize_t length = ::getline(&data, &capacity, stdin);
  if (length >= 0) line.assign(data, static_cast<std::size_t>(length));
  std::free(data);
  return length >= 0 ? LineEditor::Result::line : LineEditor::Result::end;
}

void bind(EditLine* editor, const char* name, const char* help, const char* keys,
          unsigned char (*function)(EditLine*, int)) {
  el_set(editor, EL_ADDFN, name, help, function);
  el_set(editor, EL_BIND, keys, name, nullptr);
}

}  // namespace

LineEditor::LineEditor() {
  if (!stdin_is_terminal() || !stdout_is_terminal()) return;
  use_utf8();
  editor_ = el_init("zaya", stdin, stdout, stderr);
  history_ = history_init();
  if (editor_ == nullptr || history_ == nullptr) {
    throw Error({.where = "terminal", .what = "the line editor cannot be started"});
  }
  HistEvent event;
  history(history_, &event, H_SETSIZE, kHistoryLines);
  history(history_, &event, H_SETUNIQUE, 1);
  el_set(editor_, EL_CLIENTDATA, static_cast<void*>(this));
  el_set(editor_, EL_EDITOR, "emacs");
  el_set(editor_, EL_PROMPT_ESC, prompt, '\1');
  el_set(editor_, EL_HIST, history, history_);
  el_set(editor_, EL_SIGNAL, 1);  // redraw after resizing and after Ctrl-Z
  // Ctrl-C is a key while a line is edited: no signal that could end the program.
  el_set(editor_, EL_SETTY, "-d", "-isig", nullptr);
  bind(editor_, "zaya-cancel", "Give up the line", "^C", on_cancel);
  bind(editor_, "zaya-suspend", "Suspend the program", "^Z", on_suspend);
  bind(editor_, "zaya-newline", "Insert a newline", "\\e^M", on_newline);
  bind(editor_, "zaya-newline", "Insert a newline", "\\e^J", on_newline);
  bind(editor_, "zaya-paste", "Insert pasted text", "\\e[200~", on_paste);
}

LineEditor::~LineEditor() {
  if (history_ != nullptr) history_end(history_);
  if (editor_ != nullptr) el_end(editor_);
}

LineEditor::Result LineEditor::read(std::string& line) {
  line.clear();
  const Result result = editor_ != nullptr ? read_edited(line) : read_plain(line);
  if (line.ends_with('\n')) line.pop_back();
  if (line.ends_with('\r')) line.pop_back();
  return result;
}

LineEditor::Result LineEditor::read_edited(std::string& line) {
  cancelled_ = false;
  // By itself el_gets shows the prompt first and leaves the terminal's line mode after: what was
  // typed in between would be lost, and Ctrl-C would be a signal.
  el_set(editor_, EL_PREP_TERM, 1);
  if (stdout_is_styled()) print(kPasteModeOn);
  int length = 0;
  errno = 0;
  const char* text = el_gets(editor_, &length);
  const bool interrupted = text == nullptr && errno == EINTR;
  if (stdout_is_styled()) print(kPasteModeOff);
  if (text == nullptr || length <= 0) {
    print("\n");
    return cancelled_ || interrupted ? Result::cancelled : Result::end;
  }
  line.assign(text, static_cast<std::size_t>(length));
  if (line != "\n") {
    HistEvent event;
    history(history_, &event, H_ENTER, line.c_str());
  }
  return Result::line;
}

}  // namespace zaya::cli
