#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/fuzz/http_checks.h"
#include "tests/fuzz/request_checks.h"

namespace zaya {
namespace {

void run_corpus(const std::string& name, void (*check)(std::string_view)) {
  const auto folder = std::filesystem::path(ZAYA_SOURCE_DIR) / "tests/fuzz/corpus" / name;
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    SCOPED_TRACE(entry.path());
    EXPECT_NO_THROW(check(read_file(entry.path())));
    ++files;
  }
  EXPECT_GT(files, 15);
}

TEST(FuzzCorpus, Request) {
  run_corpus("request", check_request);
}

TEST(FuzzCorpus, Http) {
  run_corpus("http", check_http);
}

TEST(FuzzCorpus, AnswersDoNotDependOnPieces) {
  const std::string text =
      "GET /a HTTP/1.1\r\n\r\nPOST /stream HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n0\r\n\r\nGET /b HTTP/1.0\r\n\r\n";
  const auto bodies = [&](std::size_t step) {
    std::string output = EchoHost().serve(text, step);
    for (std::size_t at = 0; (at = output.find("Date: ", at)) != std::string::npos;) {
      output.erase(at, output.find('\r', at) - at);
    }
    return output;
  };
  const std::string whole = bodies(10000);
  EXPECT_NE(whole.find("GET/b"), std::string::npos) << whole;
  for (const std::size_t step : {1, 2, 3, 7, 31}) EXPECT_EQ(bodies(step), whole) << step;
}

}  // namespace
}  // namespace zaya
