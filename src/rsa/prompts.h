#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/template.h"

namespace zaya::rsa {

struct BuiltinPrompt {
  const char* kind;
  const char* source;
};
/// The files of src/rsa/prompts, in the order of their names.
const std::vector<BuiltinPrompt>& builtin_prompts();

/// How candidates are put before the model: a Jinja template over `problem` (text of the last
/// user's turn), `candidates` (list of texts) and `last` (whether this is the last stage).
class AggregationPrompt {
 public:
  /// Throws Error with the line of a mistake.
  AggregationPrompt(std::string source, const std::string& name);
  /// "mathematics", "code", "choice" (multiple choice) or "open". Throws Error for another name.
  static AggregationPrompt builtin(std::string_view kind);
  static const std::vector<std::string>& kinds();
  /// A kind, or else a file.
  static AggregationPrompt load(const std::string& kind_or_file);

  /// Throws Error with the line at which the template failed, and when it gives nothing.
  std::string render(const std::string& problem, const std::vector<std::string>& candidates,
                     bool last) const;
  const std::string& source() const { return source_; }

 private:
  std::string source_;
  std::string name_;
  jinja::Template parsed_;
};

}  // namespace zaya::rsa
