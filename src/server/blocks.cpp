#include "server/blocks.h"

#include <utility>

namespace zaya {

void BlockReader::open(OutputBlock block) {
  finish();
  blocks_.push_back(std::move(block));
  open_ = true;
  opened(blocks_.size() - 1, blocks_.back());
}

void BlockReader::finish() {
  if (!std::exchange(open_, false)) return;
  closed(blocks_.size() - 1, blocks_.back());
}

void BlockReader::push(const std::vector<OutputEvent>& events) {
  using Kind = OutputEvent::Kind;
  for (const OutputEvent& event : events) {
    if (event.kind == Kind::call_begin) {
      open({.kind = OutputBlock::Kind::call, .name = event.text, .call_id = event.id});
      continue;
    }
    if (event.kind == Kind::call_end) {
      blocks_.back().complete = event.complete;
      finish();
      continue;
    }
    const auto kind = event.kind == Kind::reasoning ? OutputBlock::Kind::reasoning
                      : event.kind == Kind::content ? OutputBlock::Kind::content
                                                    : OutputBlock::Kind::call;
    if (!open_ || blocks_.back().kind != kind) open({.kind = kind});
    blocks_.back().text += event.text;
    grew(blocks_.size() - 1, blocks_.back(), event.text);
  }
}

}  // namespace zaya
