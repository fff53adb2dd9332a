// Clients from npm, unmodified, against the server (tests/clients). ./test installs them.
#include <cstdlib>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "tests/server/server_process.h"

namespace zaya {
namespace {

void run_clients(const std::string& script) {
  const std::string folder = ZAYA_CLIENTS;
  if (!std::filesystem::exists(folder + "/node_modules")) {
    GTEST_SKIP() << "no clients in " << folder << "; ./test installs them";
  }
  ServerProcess server({"--served-model-name", "tiny"});
  const std::string command = "cd '" + folder + "' && ZAYA_MODEL=tiny ZAYA_URL=http://127.0.0.1:" +
                              std::to_string(server.port()) + " node --test " + script + " 2>&1";
  std::string output;
  FILE* pipe = ::popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) output += static_cast<char>(c);
  EXPECT_EQ(::pclose(pipe), 0) << output;
  EXPECT_TRUE(contains(output, "pass ")) << output;
}

TEST(Clients, OpenAi) {
  run_clients("openai.test.mjs");
}

TEST(Clients, Frameworks) {
  run_clients("frameworks.test.mjs");
}

}  // namespace
}  // namespace zaya
