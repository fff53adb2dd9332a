#include "engine/stop.h"

#include <algorithm>
#include <utility>

namespace zaya {

StringFinder::StringFinder(std::vector<std::string> strings) {
  for (std::string& text : strings) {
    if (text.empty()) continue;
    Pattern p{std::move(text), {}, 0};
    p.fallback.assign(p.text.size() + 1, 0);
    for (std::size_t i = 1, border = 0; i < p.text.size(); ++i) {
      while (border > 0 && p.text[i] != p.text[border]) border = p.fallback[border];
      if (p.text[i] == p.text[border]) ++border;
      p.fallback[i + 1] = border;
    }
    patterns_.push_back(std::move(p));
  }
}

std::size_t StringFinder::read(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (found_ != kNone) return at;
    for (std::size_t i = 0; i < patterns_.size(); ++i) {
      Pattern& p = patterns_[i];
      while (p.matched > 0 && p.text[p.matched] != text[at]) p.matched = p.fallback[p.matched];
      if (p.text[p.matched] == text[at]) ++p.matched;
      const bool complete = p.matched == p.text.size();
      if (complete && (found_ == kNone || p.text.size() > patterns_[found_].text.size())) {
        found_ = i;
      }
    }
  }
  return text.size();
}

std::size_t StringFinder::pending() const {
  std::size_t longest = 0;
  for (const Pattern& p : patterns_) longest = std::max(longest, p.matched);
  return longest;
}

void StringFinder::reset() {
  for (Pattern& p : patterns_) p.matched = 0;
  found_ = kNone;
}

}  // namespace zaya
