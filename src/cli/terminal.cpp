#include "cli/terminal.h"

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>
#include <unistd.h>

namespace zaya::cli {
namespace {

volatile std::sig_atomic_t interrupted = 0;

}  // namespace

bool stdin_is_terminal() {
  return ::isatty(STDIN_FILENO) == 1;
}

bool stdout_is_terminal() {
  return ::isatty(STDOUT_FILENO) == 1;
}

bool stdout_is_styled() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return stdout_is_terminal() && (no_color == nullptr || *no_color == '\0') && term != nullptr &&
         std::string_view(term) != "dumb";
}

std::string without_control_codes(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    const bool c0 = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f;
    const bool c1 = byte == 0xc2 && next >= 0x80 && next < 0xa0;  // U+0080 to U+009F
    if (byte == '\r') continue;
    if (c0 || c1) {
      out += "\ufffd";
      i += c1 ? 1 : 0;
    } else {
      out += text[i];
    }
  }
  return out;
}

void print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

Interrupt::Interrupt(Again again) {
  interrupted = 0;
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  // A struct's flags are an int, the constant may be unsigned.
  if (again == Again::ends_program) action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, &old_);
}

Interrupt::~Interrupt() {
  ::sigaction(SIGINT, &old_, nullptr);
}

bool Interrupt::requested() {
  return interrupted != 0;
}

void Interrupt::clear() {
  interrupted = 0;
}

Progress PromptProgress::callback() {
  return [this](std::uint64_t done, std::uint64_t total) {
    show(done, total);
    return !Interrupt::requested();
  };
}

void PromptProgress::show(std::uint64_t done, std::uint64_t total) {
  if (::isatty(STDERR_FILENO) != 1) return;
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start_;
  if (done >= total) {
    clear();
  } else {
    fmt::print(stderr, "\r\x1b[Kreading the prompt: {} of {} tokens, {:.0f} tokens/s", done, total,
               static_cast<double>(done) / seconds.count());
    std::fflush(stderr);
    visible_ = true;
  }
}

void PromptProgress::clear() {
  if (!visible_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  visible_ = false;
}

}  // namespace zaya::cli
