#include <cstdio>
#include <ctime>

#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer.h"
#include "zaya/error.h"

// tokenizer_bench TOKENIZER_JSON TEXT_FILE...: loads the tokenizer and encodes each file once.
// Prints CPU times, {"load": seconds, "texts": [{"seconds": ..., "ids": [...]}]}.
int main(int argc, char** argv) {
  // CPU time of the process: other programs on the machine disturb it little.
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  if (argc < 2) {
    fmt::print(stderr, "usage: tokenizer_bench TOKENIZER_JSON TEXT_FILE...\n");
    return 2;
  }
  try {
    zaya::Json result;
    double start = now();
    const zaya::Tokenizer tokenizer = zaya::Tokenizer::load(argv[1]);
    result["load"] = now() - start;
    result["texts"] = zaya::Json::array();
    for (int i = 2; i < argc; ++i) {
      const std::string text = zaya::read_file(argv[i]);
      start = now();
      const auto ids = tokenizer.encode(text);
      const double seconds = now() - start;
      result["texts"].push_back({{"seconds", seconds}, {"ids", ids}});
    }
    fmt::print("{}\n", result.dump());
  } catch (const zaya::Error& e) {
    fmt::print(stderr, "tokenizer_bench: {}\n", e.what());
    return 1;
  }
  return 0;
}
