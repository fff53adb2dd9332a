#include "text/output_parser.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/random.h"

namespace zaya {
namespace {

using Kind = OutputEvent::Kind;

constexpr std::string_view kSpace = " \t\r\n";

// As OpenAI's look.
std::string call_id(std::uint64_t seed, std::size_t call) {
  Random random(seed, call);
  const std::uint64_t high = random.next();
  return fmt::format("call_{:016x}{:08x}", high, random.next() >> 32U);
}

// Takes the run of `characters` off the end of a text.
std::string_view take_end(std::string_view& text, std::string_view characters) {
  const auto last = text.find_last_not_of(characters);
  const std::size_t size = last == std::string_view::npos ? 0 : last + 1;
  const std::string_view end = text.substr(size);
  text = text.substr(0, size);
  return end;
}

}  // namespace

OutputParser::OutputParser(Options options)
    : options_(std::move(options)),
      with_tools_(options_.tools != nullptr && !options_.tools->empty()),
      reader_(options_.tools),
      thoughts_(options_.tools) {}

std::vector<OutputEvent> OutputParser::push(std::string_view reasoning, std::string_view content) {
  // A character does not go on in the other text.
  if (!reasoning.empty()) {
    push_content(content_bytes_.finish());
    push_reasoning(reasoning_bytes_.push(reasoning));
  }
  if (!content.empty()) {
    push_reasoning(reasoning_bytes_.finish());
    push_content(content_bytes_.push(content));
  }
  return std::exchange(events_, {});
}

std::vector<OutputEvent> OutputParser::finish(bool cut_off) {
  push_reasoning(reasoning_bytes_.finish());
  push_content(content_bytes_.finish());
  if (with_tools_) {
    std::vector<OutputEvent> found;
    reader_.finish(cut_off, found);
    for (OutputEvent& event : found) show_call(std::move(event));
    finish_thoughts(cut_off);
  }
  // The end of an answer is the model's own; after a call it is nothing.
  if (calls_ == 0 || text_since_call_) {
    append_event(events_, {.kind = Kind::content, .text = std::exchange(content_space_, {})});
  }
  return std::exchange(events_, {});
}

void OutputParser::push_content(std::string_view text) {
  if (text.find_first_not_of(kSpace) != std::string_view::npos) drop_drafts();
  if (!with_tools_) return show_content(text);
  std::vector<OutputEvent> found;
  reader_.push(text, found);
  for (OutputEvent& event : found) show_call(std::move(event));
}

void OutputParser::push_reasoning(std::string_view text) {
  if (!with_tools_) return show_reasoning(text);
  held_thoughts_ += text;
  const bool holding = thoughts_.first_call().has_value();
  std::vector<OutputEvent> found;
  thoughts_.push(text, found);
  auto draft = found.begin();
  if (!holding) {
    draft = std::find_if(found.begin(), found.end(),
                         [](const OutputEvent& e) { return e.kind != Kind::content; });
    for (auto thought = found.begin(); thought != draft; ++thought) show_reasoning(thought->text);
    const std::size_t keep_from = thoughts_.first_call().value_or(thoughts_.settled());
    held_thoughts_.erase(0, keep_from - std::exchange(held_from_, keep_from));
  }
  drafts_.insert(drafts_.end(), std::make_move_iterator(draft),
                 std::make_move_iterator(found.end()));
}

// What was held back was only thought.
void OutputParser::drop_drafts() {
  if (!with_tools_) return;
  show_reasoning(std::exchange(held_thoughts_, {}));
  drafts_.clear();
  thoughts_ = ToolCallReader(options_.tools);
  held_from_ = 0;
}

void OutputParser::finish_thoughts(bool cut_off) {
  thoughts_.finish(cut_off, drafts_);
  const bool calls = thoughts_.first_call().has_value();
  const auto last = std::find_if(drafts_.rbegin(), drafts_.rend(), [](const OutputEvent& e) {
    return e.kind != Kind::content || e.text.find_first_not_of(kSpace) != std::string::npos;
  });
  if (!calls || (cut_off && last->kind == Kind::content)) return drop_drafts();
  for (OutputEvent& event : drafts_) {
    if (event.kind == Kind::content) {
      show_reasoning(event.text);
    } else {
      show_call(std::move(event));
    }
  }
  drafts_.clear();
}

void OutputParser::show_reasoning(std::string_view text) {
  if (!reasoning_begun_) {
    text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
  }
  if (text.empty()) return;
  reasoning_begun_ = true;
  const std::string_view newlines = take_end(text, "\n");
  if (!text.empty()) {
    append_event(events_, {.kind = Kind::reasoning,
                           .text = std::exchange(reasoning_newlines_, {}) + std::string(text)});
  }
  reasoning_newlines_ += newlines;
}

void OutputParser::show_content(std::string_view text) {
  if (!content_begun_) text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
  if (text.empty()) return;
  content_begun_ = true;
  const std::string_view space = take_end(text, kSpace);
  if (!text.empty()) {
    text_since_call_ = true;
    append_event(events_, {.kind = Kind::content,
                           .text = std::exchange(content_space_, {}) + std::string(text)});
  }
  content_space_ += space;
}

// An event of the reader: calls get their ids and numbers.
void OutputParser::show_call(OutputEvent event) {
  if (event.kind == Kind::content) return show_content(event.text);
  if (event.kind == Kind::call_begin) {
    if (text_since_call_ && content_space_.ends_with('\n')) content_space_.pop_back();
    if (text_since_call_) {
      append_event(events_, {.kind = Kind::content, .text = content_space_});
    }
    content_space_.clear();
    text_since_call_ = false;
    event.id = call_id(options_.id_seed, calls_++);
  }
  event.call = calls_ - 1;
  append_event(events_, std::move(event));
}

}  // namespace zaya
