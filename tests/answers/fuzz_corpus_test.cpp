#include <filesystem>

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/fuzz/answers_checks.h"

namespace zaya {
namespace {

TEST(AnswersFuzzCorpus, Answers) {
  int files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(ZAYA_SOURCE_DIR "/tests/fuzz/corpus/answers")) {
    test::check_answers(read_file(entry.path()));
    ++files;
  }
  EXPECT_GT(files, 15);
}

}  // namespace
}  // namespace zaya
