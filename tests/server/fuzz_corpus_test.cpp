#include <filesystem>

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/fuzz/request_checks.h"

namespace zaya {
namespace {

TEST(FuzzCorpus, Request) {
  const auto folder = std::filesystem::path(ZAYA_SOURCE_DIR) / "tests/fuzz/corpus/request";
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    check_request(read_file(entry.path()));
    ++files;
  }
  EXPECT_GT(files, 15);
}

}  // namespace
}  // namespace zaya
