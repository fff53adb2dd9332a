#include <gtest/gtest.h>

#include "base/error.h"
#include "text/jinja_template.h"

namespace zaya {
namespace {

TEST(Jinja, RendersAVariable) {
  const jinja::Template hello("Hello {{ name }}!", "hello");
  EXPECT_EQ(hello.render({{"name", "world"}}), "Hello world!");
}

}  // namespace
}  // namespace zaya
