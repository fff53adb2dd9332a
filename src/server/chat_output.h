#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/output_event.h"
#include "text/output_parser.h"
#include "zaya/request.h"

namespace zaya {

/// A tool call, so far as it has come.
struct OutputCall {
  std::string id;
  std::string name;
  std::string arguments;  ///< JSON text of an object
  bool complete = false;
};

/// One choice of a conversation on its way to the client, whichever API asked for it.
class ChatOutput {
 public:
  struct Options {
    std::shared_ptr<const ToolSet> tools = nullptr;  ///< null: text only
    bool parallel_calls = true;                      ///< false: calls after the first are left out
    bool reasoning = true;                           ///< false: it is left out
  };

  explicit ChatOutput(const Options& options);

  std::vector<OutputEvent> push(const RequestEvent& event);

  // All of it so far.
  const std::string& reasoning() const { return reasoning_; }
  const std::string& content() const { return content_; }
  const std::vector<OutputCall>& calls() const { return calls_; }
  /// OpenAI's word: "stop", "length" or "tool_calls"; empty before the end.
  const std::string& finish_reason() const { return finish_reason_; }
  /// The stop string that ended it; empty when another reason did.
  const std::string& stop_string() const { return stop_string_; }

 private:
  bool wanted(const OutputEvent& event) const;
  void take(const OutputEvent& event);

  bool parallel_calls_;
  bool with_reasoning_;
  OutputParser parser_;
  std::string reasoning_;
  std::string content_;
  std::vector<OutputCall> calls_;
  std::string finish_reason_;
  std::string stop_string_;
};

}  // namespace zaya
