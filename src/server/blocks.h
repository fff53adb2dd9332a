#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "text/output_event.h"

namespace zaya {

/// A run of reasoning or of content, or a tool call.
struct OutputBlock {
  enum class Kind { reasoning, content, call };

  Kind kind;
  std::string text = {};     ///< of a call: the arguments
  std::string name = {};     ///< of a call
  std::string call_id = {};  ///< of a call
  std::string item_id = {};  ///< whoever sees it open may name it
  bool complete = true;      ///< false: a call that was cut off
};

/// Sorts an output's events into blocks, and tells of each as it opens, grows and closes. They do
/// not overlap.
class BlockReader {
 public:
  virtual ~BlockReader() = default;

  void push(const std::vector<OutputEvent>& events);
  /// The output has ended.
  void finish();

  const std::vector<OutputBlock>& blocks() const { return blocks_; }

 protected:
  virtual void opened(std::size_t index, OutputBlock& block) = 0;
  virtual void grew(std::size_t index, const OutputBlock& block, std::string_view text) = 0;
  virtual void closed(std::size_t index, const OutputBlock& block) = 0;

 private:
  void open(OutputBlock block);

  std::vector<OutputBlock> blocks_;
  bool open_ = false;  // the last one
};

}  // namespace zaya
