#include "text/chat.h"

#include <filesystem>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "tests/text/fixed_clock.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

ChatTemplate load_package(const std::string& package) {
  if (package == "builtin") return ChatTemplate::builtin();
  const fs::path folder = fs::path(ZAYA_NPM_DATA) / package / "models";
  if (!fs::exists(folder)) {
    throw Error({.where = folder.string(), .what = "the npm package is not there; run ./test"});
  }
  return ChatTemplate::load(folder);
}

ChatRequest request_of(const Json& chat) {
  ChatRequest request{.messages = chat.at("messages")};
  if (chat.contains("tools")) request.tools = chat.at("tools");
  if (chat.contains("kwargs")) request.kwargs = chat.at("kwargs");
  request.add_generation_prompt = chat.value("add_generation_prompt", true);
  return request;
}

// tests/text/record_templates.py recorded what Python's jinja2 does.
TEST(Chat, AgreesWithPythonOnRealTemplates) {
  const Json recorded = read_json_file(ZAYA_TEST_DATA "/templates/chats.json");
  std::map<std::string, ChatTemplate> templates;
  std::size_t outputs = 0;
  for (const Json& c : recorded.at("cases")) {
    const auto package = c.at("package").get<std::string>();
    const auto name = c.at("chat").get<std::string>();
    SCOPED_TRACE(package + " " + name);
    if (!templates.contains(package)) templates.emplace(package, load_package(package));
    const ChatRequest request = request_of(recorded.at("chats").at(name));
    const bool fails = c.contains("error");
    try {
      const std::string prompt = templates.at(package).render(request, fixed_clock());
      ASSERT_FALSE(fails) << "rendered " << prompt;
      EXPECT_EQ(prompt, c.at("output").get<std::string>());
      ++outputs;
    } catch (const Error& e) {
      ASSERT_TRUE(fails) << e.what();
      if (c.at("exact").get<bool>()) {
        EXPECT_EQ(e.detail().what, c.at("error").get<std::string>());
      }
    }
  }
  EXPECT_GT(outputs, 400U);
}

}  // namespace
}  // namespace zaya
