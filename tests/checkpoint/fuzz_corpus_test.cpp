#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/fuzz/adapter_checks.h"
#include "tests/fuzz/checkpoint_checks.h"

namespace zaya {
namespace {

/// Calls `check` with every file of a fuzz target's corpus; how many there were.
int over_corpus(const char* target, const auto& check) {
  const auto folder = std::filesystem::path(ZAYA_SOURCE_DIR) / "tests" / "fuzz" / "corpus" / target;
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    check(read_file(entry.path()));
    ++files;
  }
  return files;
}

TEST(FuzzCorpus, Safetensors) {
  EXPECT_GT(over_corpus(
                "safetensors",
                [](const std::string& text) { check_safetensors(std::as_bytes(std::span(text))); }),
            20);
}

TEST(FuzzCorpus, Adapter) {
  EXPECT_GT(
      over_corpus("adapter",
                  [](const std::string& text) { check_adapter(std::as_bytes(std::span(text))); }),
      30);
}

TEST(FuzzCorpus, Config) {
  EXPECT_GT(over_corpus("config", [](const std::string& text) { check_config(text); }), 20);
}

}  // namespace
}  // namespace zaya
