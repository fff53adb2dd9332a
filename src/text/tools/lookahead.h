#pragma once

#include <cstddef>
#include <string_view>

namespace zaya {

/// Looks ahead in text of which more may come. Where an answer would need what is not there yet,
/// starved() is true from then on and what was answered is worth nothing: ask again with more text.
class Lookahead {
 public:
  /// `last`: no more text comes.
  Lookahead(std::string_view text, bool last) : text_(text), last_(last) {}

  /// Passes `literal` when it comes next.
  bool accept(std::string_view literal) {
    const std::string_view rest = text_.substr(position_);
    if (rest.starts_with(literal)) {
      position_ += literal.size();
      return true;
    }
    if (!last_ && literal.starts_with(rest)) starved_ = true;
    return false;
  }

  template <typename... Literals>
  bool accept_one_of(const Literals&... literals) {
    return (accept(literals) || ...);
  }

  /// Passes white space; of a run longer than kMaxSpace only that much.
  void skip_space() {
    for (std::size_t i = 0; i < kMaxSpace && position_ < text_.size(); ++i) {
      const char c = text_[position_];
      if (c != ' ' && c != '\n' && c != '\t' && c != '\r') return;
      ++position_;
    }
  }

  /// Whether the text ends here for good.
  bool at_end() {
    if (position_ < text_.size()) return false;
    if (!last_) starved_ = true;
    return last_;
  }

  /// Passes what comes before one of `ends`, which must come within kMaxName bytes; else nothing is
  /// passed and the result is empty.
  std::string_view until(std::string_view ends) {
    const std::size_t end = text_.find_first_of(ends, position_);
    if (end == std::string_view::npos) {
      if (!last_ && text_.size() - position_ <= kMaxName) starved_ = true;
      return {};
    }
    if (end - position_ > kMaxName) return {};
    const std::string_view passed = text_.substr(position_, end - position_);
    position_ = end;
    return passed;
  }

  bool starved() const { return starved_; }
  std::size_t position() const { return position_; }

 private:
  static constexpr std::size_t kMaxSpace = 64;
  static constexpr std::size_t kMaxName = 256;

  std::string_view text_;
  std::size_t position_ = 0;
  bool last_;
  bool starved_ = false;
};

}  // namespace zaya
