#include "cli/chat_session.h"

#include <cstdlib>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "cli/answer_view.h"
#include "cli/terminal.h"
#include "zaya/error.h"

namespace zaya::cli {
namespace {

constexpr const char* kHelp =
    "/system TEXT   set the system message; without TEXT show it, with off remove it\n"
    "/think on|off  let the model reason before it answers, or not\n"
    "/think show|hide|last\n"
    "               show its reasoning or fold it; last prints that of the last answer\n"
    "/reset         forget the conversation, keep the system message\n"
    "/save FILE     write the conversation and its settings as JSON\n"
    "/load FILE     go on with a saved one\n"
    "/stats on|off  tell tokens and speed after each answer\n"
    "/help          this list\n"
    "/exit          leave; so does Ctrl-D\n"
    "//TEXT         a message that begins with a slash\n"
    "Ctrl-C stops an answer. Alt-Enter starts a new line, pasted text keeps its lines.\n";

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

std::filesystem::path file_of(std::string_view text, std::string_view command) {
  if (text.empty()) {
    throw Error({.where = std::string(command), .what = "needs the name of a file"});
  }
  const char* home = std::getenv("HOME");
  if (text.starts_with("~/") && home != nullptr) {
    return std::filesystem::path(home) / text.substr(2);
  }
  return text;
}

bool on_or_off(std::string_view text, std::string_view command) {
  if (text == "on") return true;
  if (text == "off") return false;
  throw Error(
      {.where = std::string(command), .what = "takes on or off", .found = std::string(text)});
}

// The newlines that stand between a think block and the text around it.
std::string without_outer_newlines(const std::string& text) {
  const auto first = text.find_first_not_of('\n');
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of('\n') - first + 1);
}

bool has_system(const Json& messages) {
  return !messages.empty() && messages[0]["role"] == "system";
}

}  // namespace

ChatSession::ChatSession(Runner& runner, std::shared_ptr<const Adapter> adapter,
                         std::shared_ptr<const ModelText> text, ChatTemplate chat_template,
                         SavedChat state, View view)
    : runner_(runner),
      text_(std::move(text)),
      template_(std::move(chat_template)),
      state_(std::move(state)),
      view_(view),
      sequence_(runner.new_sequence(std::move(adapter))) {}

bool ChatSession::handle(std::string_view line) {
  line = trimmed(line);
  if (line.empty()) return true;
  if (!line.starts_with('/') || line.starts_with("//")) {
    answer(line.starts_with('/') ? line.substr(1) : line);
    return true;
  }
  const auto space = line.find_first_of(" \t\n");
  return command(line.substr(0, space), space == std::string_view::npos
                                            ? std::string_view()
                                            : trimmed(line.substr(space)));
}

void ChatSession::answer(std::string_view text) {
  state_.messages.push_back({{"role", "user"}, {"content", text}});
  TextPiece said;
  try {
    Kept asked = prompt();
    const Generation generation = run(asked.tokens, said);
    if (generation.tokens().empty()) {  // stopped before there was an answer
      state_.messages.erase(state_.messages.size() - 1);
      return;
    }
    keep(std::move(asked), generation, said);
  } catch (...) {
    state_.messages.erase(state_.messages.size() - 1);
    throw;
  }
  Json message = {{"role", "assistant"}, {"content", said.answer}};
  if (!said.reasoning.empty()) {
    message["content"] = without_outer_newlines(said.answer);
    message["reasoning_content"] = without_outer_newlines(said.reasoning);
  }
  state_.messages.push_back(std::move(message));
}

// A tokenizer may split an answer in other ways than the model wrote it. Where the conversation
// goes on from a text that was computed before, its tokens are taken as they were.
ChatSession::Kept ChatSession::prompt() const {
  ChatRequest request{.messages = state_.messages};
  request.kwargs["enable_thinking"] = state_.think;
  Kept asked{template_.render(request), {}};
  if (!kept_.text.empty() && asked.text.starts_with(kept_.text)) {
    const auto rest =
        encode_rendered(*text_, std::string_view(asked.text).substr(kept_.text.size()));
    // A special token is a token of its own, wherever the text is cut.
    if (!rest.empty() && text_->tokenizer->is_special(rest.front())) {
      asked.tokens = kept_.tokens;
      asked.tokens.insert(asked.tokens.end(), rest.begin(), rest.end());
    }
  }
  if (asked.tokens.empty()) asked.tokens = encode_rendered(*text_, asked.text);
  check_prompt(runner_.config(), asked.tokens);
  return asked;
}

void ChatSession::keep(Kept prompt, const Generation& generation, const TextPiece& said) {
  kept_ = {};
  // Templates drop old reasoning, and a stop string has left text out.
  if (!said.reasoning.empty() || generation.stop_string() != nullptr) return;
  kept_ = std::move(prompt);
  kept_.text += said.answer;
  const std::vector<TokenId>& output = generation.tokens();
  const bool ended = generation.finish_reason() == FinishReason::stop;
  kept_.tokens.insert(kept_.tokens.end(), output.begin(), output.end() - (ended ? 1 : 0));
}

// Runs the model on a prompt, of which only what the sequence does not hold yet is computed.
Generation ChatSession::run(const std::vector<TokenId>& tokens, TextPiece& said) {
  Interrupt::clear();
  // Each turn draws its own numbers, whatever the turns before it used.
  Generation generation(text_, state_.sampling, tokens,
                        {.split_reasoning = true, .stream = state_.messages.size()});
  try {
    const std::size_t cached = keep_common_prefix(runner_, sequence_, tokens);
    AnswerView view(view_.show_thinking);
    PromptProgress progress;
    const auto show = [&](const TextPiece& piece) {
      said.reasoning += piece.reasoning;
      said.answer += piece.answer;
      view.add(piece, generation.reasoning_tokens());
    };
    const GenerationStats stats = generate(generation, feed_of(runner_, sequence_, generation),
                                           std::span(tokens).subspan(cached), progress.callback(),
                                           [&](const TokenEvent& event) {
                                             show(event.text);
                                             return !Interrupt::requested();
                                           });
    show(stats.rest);
    view.finish();
    report(generation, stats, cached);
  } catch (...) {
    // A step that failed leaves a state nobody can use.
    sequence_ = runner_.new_sequence(sequence_.adapter());
    throw;
  }
  return generation;
}

void ChatSession::report(const Generation& generation, const GenerationStats& stats,
                         std::size_t cached) const {
  if (generation.finish_reason() == FinishReason::cancelled) {
    fmt::print(stderr, "[stopped]\n");
  } else if (generation.finish_reason() == FinishReason::length) {
    fmt::print(stderr, "[cut off: {}]\n",
               state_.sampling.max_tokens == generation.tokens().size()
                   ? "the most tokens allowed are reached"
                   : "the context is full, /reset starts anew");
  }
  if (!view_.stats) return;
  const auto per_second = [](std::size_t count, double seconds) {
    return seconds > 0.0 ? static_cast<double>(count) / seconds : 0.0;
  };
  const std::size_t steps = stats.output_tokens > 0 ? stats.output_tokens - 1 : 0;
  const std::string drafts = stats.drafted_tokens == 0
                                 ? ""
                                 : fmt::format("; drafts: {} of {} tokens right",
                                               stats.accepted_tokens, stats.drafted_tokens);
  fmt::print(stderr,
             "[prompt: {} tokens kept, {} computed in {:.2f} s ({:.1f}/s); answer: {} tokens, {} "
             "of them reasoning, in {:.2f} s ({:.1f}/s){}; context: {} of {}]\n",
             cached, stats.prompt_tokens, stats.prefill_seconds,
             per_second(stats.prompt_tokens, stats.prefill_seconds), stats.output_tokens,
             generation.reasoning_tokens(), stats.decode_seconds,
             per_second(steps, stats.decode_seconds), drafts,
             cached + stats.prompt_tokens + stats.output_tokens, text_->context);
}

bool ChatSession::command(std::string_view name, std::string_view argument) {
  if (name == "/exit" || name == "/quit") return false;
  if (name == "/help") {
    print(kHelp);
  } else if (name == "/system") {
    set_system(argument);
  } else if (name == "/think") {
    set_thinking(argument);
  } else if (name == "/reset") {
    const Json system = has_system(state_.messages) ? state_.messages[0] : Json();
    state_.messages = Json::array();
    if (!system.is_null()) state_.messages.push_back(system);
  } else if (name == "/save") {
    const auto path = file_of(argument, name);
    save_chat(path, state_);
    fmt::print(stderr, "[saved to {}]\n", path.string());
  } else if (name == "/load") {
    load(argument);
  } else if (name == "/stats") {
    view_.stats = on_or_off(argument, name);
  } else {
    throw Error({.where = std::string(name), .what = "no such command; /help lists them"});
  }
  return true;
}

void ChatSession::set_system(std::string_view text) {
  Json& messages = state_.messages;
  if (text.empty()) {
    print((has_system(messages) ? messages[0]["content"].get<std::string>() : "(none)") + "\n");
    return;
  }
  if (has_system(messages)) messages.erase(0);
  if (text != "off") {
    messages.insert(messages.begin(), Json{{"role", "system"}, {"content", text}});
  }
}

void ChatSession::set_thinking(std::string_view how) {
  if (how == "show" || how == "hide") {
    view_.show_thinking = how == "show";
  } else if (how == "on" || how == "off") {
    state_.think = how == "on";
  } else if (how == "last") {
    const std::string text = last_reasoning();
    print((stdout_is_terminal() ? without_control_codes(text) : text) + "\n");
  } else {
    throw Error({.where = "/think",
                 .what = "takes on, off, show, hide or last",
                 .found = std::string(how)});
  }
}

std::string ChatSession::last_reasoning() const {
  for (auto it = state_.messages.rbegin(); it != state_.messages.rend(); ++it) {
    if ((*it)["role"] == "assistant") return it->value("reasoning_content", "(none)");
  }
  return "(none)";
}

void ChatSession::load(std::string_view argument) {
  const auto path = file_of(argument, "/load");
  state_ = load_chat(path, state_);
  fmt::print(stderr, "[loaded {} messages from {}]\n", state_.messages.size(), path.string());
}

}  // namespace zaya::cli
