#include "engine/output_text.h"

#include <algorithm>
#include <utility>

#include "text/tools/call_opening.h"

namespace zaya {
namespace {

std::vector<std::string> tags_in_text(bool tags_are_tokens) {
  std::vector<std::string> tags{std::string(kCallOpen), std::string(kCallClose)};
  if (!tags_are_tokens) {
    tags.emplace_back(kThinkOpen);
    tags.emplace_back(kThinkClose);
  }
  return tags;
}

}  // namespace

OutputText::OutputText(Options options)
    : split_(options.split),
      tags_are_tokens_(options.tags_are_tokens),
      inside_(options.inside),
      shown_inside_(options.inside),
      stop_(std::move(options.stop)),
      tags_(tags_in_text(options.tags_are_tokens)) {}

TextPiece OutputText::push(std::string_view text) {
  if (stopped()) return {};
  read(text);
  if (stopped()) return release(stop_.found()->size());
  const bool may_be_tag = split_ && !tags_are_tokens_;
  return release(std::max(stop_.pending(), may_be_tag ? tags_.pending() : 0));
}

TextPiece OutputText::push_tag(Tag tag, std::string_view text) {
  if (stopped()) return {};
  if (in_call_) {
    read(!text.empty() ? text : tag == Tag::open ? kThinkOpen : kThinkClose);
  } else {
    const std::size_t begin = released_ + held_.size();
    append(text);
    mark(begin, begin + text.size(), tag == Tag::open);
  }
  return release(stopped() ? stop_.found()->size() : stop_.pending());
}

TextPiece OutputText::finish() {
  return stopped() ? TextPiece{} : release(0);
}

void OutputText::read(std::string_view text) {
  const std::size_t taken = append(text);
  find_tags(text.substr(0, taken));
}

std::size_t OutputText::append(std::string_view text) {
  const std::size_t taken = stop_.read(text);
  held_.append(text.substr(0, taken));
  return taken;
}

void OutputText::find_tags(std::string_view text) {
  std::size_t end = released_ + held_.size() - text.size();
  while (!text.empty()) {
    const std::size_t passed = tags_.read(text);
    text.remove_prefix(passed);
    end += passed;
    if (const std::string* tag = tags_.found()) {
      if (*tag == kCallOpen || *tag == kCallClose) {
        in_call_ = *tag == kCallOpen && !inside_;
      } else if (!in_call_) {
        mark(end - tag->size(), end, *tag == kThinkOpen);
      }
      tags_.reset();
    }
  }
}

void OutputText::mark(std::size_t begin, std::size_t end, bool opens) {
  inside_ = opens;
  if (split_) boundaries_.push_back({begin, end, opens});
}

// Releases all but the last `keep` bytes.
TextPiece OutputText::release(std::size_t keep) {
  const std::size_t until = released_ + held_.size() - keep;
  const std::size_t start = released_;
  TextPiece piece;
  const auto show = [&](std::size_t to) {
    std::string& part = split_ && shown_inside_ ? piece.reasoning : piece.answer;
    part.append(held_, released_ - start, to - released_);
    released_ = to;
  };
  while (!boundaries_.empty() && boundaries_.front().begin <= until) {
    const Boundary& b = boundaries_.front();
    show(std::max(b.begin, released_));
    // A tag that is held back in part is dropped in two parts.
    released_ = std::min(b.end, until);
    if (b.end > until) break;
    shown_inside_ = b.opens;
    boundaries_.pop_front();
  }
  if (boundaries_.empty() || boundaries_.front().begin > until) show(until);
  held_.erase(0, until - start);
  return piece;
}

}  // namespace zaya
