#pragma once

#include <cstddef>
#include <string>

#include "eval/code_tests.h"
#include "sandbox/sandbox.h"

namespace zaya::eval {

struct CodeVerdict {
  bool right = false;      ///< all tests passed
  std::size_t passed = 0;  ///< tests before the first that failed
  std::string why = {};    ///< how that one ended: "wrong", or sandbox::end_name()
};

/// Runs programs of answers against tests, each test in a sandbox of its own: a program knows
/// neither the other tests nor what is expected of it.
class CodeChecker {
 public:
  /// Throws Error when this machine cannot isolate programs.
  explicit CodeChecker(const sandbox::Limits& limits = {}) : limits_(limits) {}

  /// Stops at the first test that fails. May be called from several threads. Throws Error when the
  /// sandbox itself fails, and for tests that require_language() refuses.
  CodeVerdict check(const std::string& program, const CodeTests& tests) const;

 private:
  sandbox::Sandbox sandbox_;
  sandbox::Limits limits_;
};

/// Throws Error naming `where` when programs of this language cannot be run.
void require_language(const CodeTests& tests, const std::string& where);

}  // namespace zaya::eval
