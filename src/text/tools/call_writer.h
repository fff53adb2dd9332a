#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/output_event.h"
#include "text/tools/arguments.h"
#include "text/tools/tool_set.h"

namespace zaya {

/// Writes calls as events, so that the arguments of each are one JSON object whatever it is told.
class CallWriter {
 public:
  explicit CallWriter(std::shared_ptr<const ToolSet> tools) : tools_(std::move(tools)) {}

  void begin_call(const std::string& name, std::vector<OutputEvent>& events);
  void end_call(bool complete, std::vector<OutputEvent>& events);

  /// An argument whose text arrives. Of several with one name the first counts, as it may be out
  /// already when the next one comes.
  void begin_argument(std::string name);
  void push_value(std::string_view text, ArgumentValue::Look look,
                  std::vector<OutputEvent>& events);
  /// `cut`: the text was cut off somewhere.
  void end_argument(bool cut, std::vector<OutputEvent>& events);

  /// Arguments that are there as a whole.
  void add_arguments(const Json& object, std::vector<OutputEvent>& events);

  bool in_argument() const { return argument_.has_value(); }
  /// Whether the function of this call has such a parameter and it was neither given nor begun.
  bool lacks(const std::string& parameter) const;

 private:
  struct Argument {
    std::string name;
    ArgumentValue value;
    bool again;          // there is one of this name already
    bool begun = false;  // its key was given out
  };

  void add(OutputEvent::Kind kind, std::string_view text, std::vector<OutputEvent>& events);
  void add_key(const std::string& name, std::vector<OutputEvent>& events);
  void add_value(std::string_view json, std::vector<OutputEvent>& events);

  std::shared_ptr<const ToolSet> tools_;
  std::size_t calls_ = 0;
  const Tool* tool_ = nullptr;
  std::set<std::string, std::less<>> given_;  // arguments of this call
  std::optional<Argument> argument_;
};

}  // namespace zaya
