#include "checkpoint/hub.h"

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "base/file.h"
#include "zaya/error.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

class Hub : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / "zaya-hub-test";
    fs::remove_all(root_);
    fs::create_directories(root_ / "models--Zyphra--ZAYA1-8B" / "refs");
    fs::create_directories(root_ / "models--Zyphra--ZAYA1-8B" / "snapshots" / "abc123");
    ::setenv("HF_HUB_CACHE", root_.c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("HF_HUB_CACHE");
    ::unsetenv("HF_HOME");
    fs::remove_all(root_);
  }

  fs::path reference() const { return root_ / "models--Zyphra--ZAYA1-8B" / "refs" / "main"; }

  std::string message(const std::string& argument) const {
    try {
      resolve_model_folder(argument);
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }

  fs::path root_;
};

TEST_F(Hub, FolderWins) {
  EXPECT_EQ(resolve_model_folder(root_.string()), root_);
}

TEST_F(Hub, IdIsLookedUpInTheCache) {
  write_file(reference(), "abc123\n");
  EXPECT_EQ(resolve_model_folder("Zyphra/ZAYA1-8B"),
            root_ / "models--Zyphra--ZAYA1-8B" / "snapshots" / "abc123");
}

TEST_F(Hub, HomeIsUsedWithoutTheCacheVariable) {
  fs::create_directories(root_ / "hub");
  fs::rename(root_ / "models--Zyphra--ZAYA1-8B", root_ / "hub" / "models--Zyphra--ZAYA1-8B");
  write_file(root_ / "hub" / "models--Zyphra--ZAYA1-8B" / "refs" / "main", "abc123");
  ::unsetenv("HF_HUB_CACHE");
  ::setenv("HF_HOME", root_.c_str(), 1);
  EXPECT_EQ(resolve_model_folder("Zyphra/ZAYA1-8B").filename(), "abc123");
}

TEST_F(Hub, ErrorsSayWhereItLooked) {
  EXPECT_EQ(message("Zyphra/ZAYA1-8B"),
            "Zyphra/ZAYA1-8B: no such folder, and not in the local Hugging Face cache: expected " +
                reference().string());
  write_file(reference(), "gone");
  EXPECT_NE(message("Zyphra/ZAYA1-8B").find("snapshots/gone"), std::string::npos);
  EXPECT_NE(message("nowhere").find("no such folder"), std::string::npos);
  write_file(root_ / "file", "x");
  EXPECT_NE(message((root_ / "file").string()).find("is not a folder"), std::string::npos);
}

TEST_F(Hub, NothingLeadsOutOfTheCache) {
  EXPECT_NE(message("../no-such-name").find("not a hub id"), std::string::npos);
  EXPECT_NE(message("a/b/c").find("not a hub id"), std::string::npos);
  write_file(reference(), "../../..");
  EXPECT_NE(message("Zyphra/ZAYA1-8B").find("does not hold a revision"), std::string::npos);
}

}  // namespace
}  // namespace zaya
