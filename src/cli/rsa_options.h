#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "cli/command.h"
#include "rsa/settings.h"

namespace zaya::cli {

/// The options that say how Markovian RSA is run.
class RsaOptions {
 public:
  void add_to(CLI::App& command);

  /// What the options say, over a preset. Throws UsageError for values that contradict each other.
  /// Without --seed a seed is drawn.
  rsa::Settings settings() const;

 private:
  std::string preset_;
  std::string effort_;
  std::optional<std::size_t> rounds_, population_, subset_, beta_, tau_, final_tokens_,
      final_think_;
  std::optional<std::size_t> top_k_, final_top_k_;
  std::optional<std::size_t> budget_;
  std::optional<double> temperature_, top_p_, min_p_;
  std::optional<double> final_temperature_, final_top_p_;
  std::string carry_;
  std::string select_;
  std::optional<std::uint64_t> seed_;
};

}  // namespace zaya::cli
