#include "checkpoint/safetensors.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/checkpoint/helpers.h"

namespace zaya {
namespace {

SafetensorsHeader parse(const std::string& bytes) {
  return parse_safetensors_header(std::as_bytes(std::span(bytes)), "m.safetensors");
}

std::string refusal(const std::string& header, std::size_t data) {
  return message_of([&] { parse(safetensors_bytes(header, data)); });
}

constexpr const char* kTwo =
    R"({"b":{"dtype":"BF16","shape":[3],"data_offsets":[8,14]},)"
    R"("a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"__metadata__":{"format":"pt"}})";

TEST(Safetensors, HeaderIsUnderstood) {
  const std::string bytes = safetensors_bytes(kTwo, 14);
  const SafetensorsHeader header = parse(bytes);
  ASSERT_EQ(header.tensors.size(), 2U);
  EXPECT_EQ(header.tensors[0].name, "a");
  EXPECT_EQ(header.tensors[0].shape, (std::vector<std::size_t>{2, 1}));
  EXPECT_EQ(header.tensors[0].offset, bytes.size() - 14);
  EXPECT_EQ(header.tensors[1].dtype, DType::bf16);
  EXPECT_EQ(header.tensors[1].bytes, 6U);
  EXPECT_EQ(header.metadata.at("format"), "pt");
}

TEST(Safetensors, ScalarsAndEmptyTensorsAreLegal) {
  EXPECT_EQ(parse(safetensors_bytes(R"({"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]},)"
                                    R"("e":{"dtype":"F32","shape":[4,0],"data_offsets":[8,8]}})",
                                    8))
                .tensors.size(),
            2U);
  EXPECT_TRUE(parse(safetensors_bytes("{}   ", 0)).tensors.empty());
}

TEST(Safetensors, FramingIsChecked) {
  EXPECT_TRUE(contains(message_of([] { parse("1234567"); }), "at least 8 bytes, found 7 bytes"));
  std::string huge(16, '\0');
  huge[7] = static_cast<char>(0x80);  // 2^63
  EXPECT_TRUE(contains(message_of([&] { parse(huge); }), "header length is absurd"));
  EXPECT_TRUE(contains(message_of([&] { parse(std::string(8, '\xff')); }), "18446744073709551615"));
  const std::string whole = safetensors_bytes(kTwo, 14);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    EXPECT_NE(message_of([&] { parse(whole.substr(0, n)); }), "no error") << n;
  }
  EXPECT_TRUE(contains(message_of([&] { parse(whole.substr(0, 30)); }),
                       "truncated inside the header: expected 150 bytes, found 30 bytes"));
  EXPECT_TRUE(contains(message_of([&] { parse(whole.substr(0, whole.size() - 1)); }),
                       "data_offsets out of range"));
  EXPECT_TRUE(contains(message_of([&] { parse(whole + "x"); }),
                       "data has the wrong size: expected 14 bytes, found 15 bytes"));
}

TEST(Safetensors, JsonIsChecked) {
  EXPECT_TRUE(contains(refusal("", 0), "not a JSON object"));
  EXPECT_TRUE(contains(refusal("[]", 0), "not a JSON object"));
  EXPECT_TRUE(contains(refusal(" {}", 0), "not a JSON object"));
  EXPECT_TRUE(contains(refusal("{", 0), "not valid JSON"));
  EXPECT_TRUE(contains(refusal("{} {}", 0), "not valid JSON"));
  EXPECT_TRUE(contains(refusal("{\"\xff\":{}}", 0), "not valid JSON"));
  EXPECT_TRUE(contains(refusal(R"({"a":1})", 0), "header entry is not an object"));
  EXPECT_TRUE(contains(refusal(R"({"a":[]})", 0), "array in a wrong place"));
  EXPECT_TRUE(contains(refusal(R"({"a":{"dtype":{"x":{}}}})", 0), "nested too deeply"));
  EXPECT_TRUE(contains(refusal(R"({"a":{"shape":[[1]]}})", 0), "array in a wrong place"));
  const std::string deep(1'000'000, '[');
  EXPECT_TRUE(contains(refusal(R"({"a":{"shape":)" + deep, 0), "array in a wrong place"));
  EXPECT_TRUE(contains(refusal(R"({"__metadata__":{"a":1}})", 0), "\"a\" is not a string"));
}

TEST(Safetensors, NamesAndFieldsAreUnique) {
  const std::string a = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  EXPECT_TRUE(contains(refusal("{" + a + "," + a + "}", 1), "\"a\" appears twice"));
  EXPECT_TRUE(contains(refusal(R"({"a":{"dtype":"U8","dtype":"F32"}})", 0),
                       "field \"dtype\" appears twice"));
  EXPECT_TRUE(contains(refusal(R"({"a":{"strides":[1]}})", 0), "unknown field \"strides\""));
  EXPECT_TRUE(
      contains(refusal(R"({"a":{"dtype":"U8","shape":[0]}})", 0), "field data_offsets is missing"));
}

TEST(Safetensors, TensorsAreChecked) {
  const auto tensor = [](const std::string& dtype, const std::string& shape,
                         const std::string& offsets) {
    return refusal(R"({"a":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" +
                       offsets + "}}",
                   16);
  };
  EXPECT_EQ(tensor("\"F32\"", "[4]", "[0,16]"), "no error");
  EXPECT_TRUE(contains(tensor("\"F33\"", "[4]", "[0,16]"), "unknown dtype: found \"F33\""));
  EXPECT_TRUE(contains(tensor("7", "[4]", "[0,16]"), "bad dtype: expected a string"));
  EXPECT_TRUE(
      contains(tensor("\"F32\"", "[5]", "[0,16]"), "expected 20 bytes for F32 [5], found 16"));
  EXPECT_TRUE(contains(tensor("\"F32\"", "4", "[0,16]"), "bad shape: expected a list"));
  EXPECT_TRUE(contains(tensor("\"F32\"", "[-4]", "[0,16]"), "bad shape: expected a whole number"));
  EXPECT_TRUE(contains(tensor("\"F32\"", "[4.0]", "[0,16]"), "bad shape: expected a whole number"));
  EXPECT_TRUE(contains(tensor("\"F32\"", "[18446744073709551616]", "[0,16]"), "bad shape"));
  EXPECT_TRUE(contains(tensor("\"F32\"", "[4611686018427387905]", "[0,4]"), "shape is too large"));
  EXPECT_TRUE(contains(tensor("\"F32\"", "[4294967296,4294967296,0]", "[0,0]"), "too large"));
  EXPECT_TRUE(contains(tensor("\"F32\"", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,4]"),
                       "array is too long"));
  EXPECT_TRUE(contains(tensor("\"F32\"", "[4]", "[16,0]"), "begin <= end <= 16, found [16, 0]"));
  EXPECT_TRUE(contains(tensor("\"F32\"", "[4]", "[4,20]"), "out of range"));
  EXPECT_TRUE(contains(tensor("\"F32\"", "[4]", "[18446744073709551600,18446744073709551615]"),
                       "out of range"));
  EXPECT_TRUE(
      contains(tensor("\"F32\"", "[4]", "[0]"), "bad data_offsets: expected begin and end"));
  EXPECT_TRUE(contains(tensor("\"F32\"", "[3]", "[4,16]"), "4 unclaimed bytes before its data"));
}

TEST(Safetensors, DataIsClaimedOnce) {
  const auto two = [](const std::string& first, const std::string& second) {
    return refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + first +
                       R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}",
                   8);
  };
  EXPECT_EQ(two("[4,8]", "[0,4]"), "no error");
  EXPECT_TRUE(contains(two("[0,4]", "[2,6]"), "\"b\": data overlaps another tensor's"));
  EXPECT_TRUE(contains(two("[0,4]", "[0,4]"), "overlaps"));
}

TEST(Safetensors, NamesFromOutsideStayOnOneLine) {
  const std::string message = refusal(R"({"a\n\u001b[31m":{"dtype":"F33"}})", 0);
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
}

class SafetensorsFiles : public FolderTest {};

TEST_F(SafetensorsFiles, UnalignedDataIsReadable) {
  // The header ends one past a multiple of 4: every element of "a" is off by one or more.
  std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  while (header.size() % 4 != 1) header += ' ';
  std::string bytes = safetensors_bytes(header, 0);
  const std::vector<float> values{1.5F, -2.25F};
  bytes.append(reinterpret_cast<const char*>(values.data()), 8);
  put(folder_ / "odd.safetensors", bytes);
  const SafetensorsFile file(folder_ / "odd.safetensors");
  const TensorView& view = file.tensor("a");
  ASSERT_EQ(reinterpret_cast<std::uintptr_t>(view.data) % alignof(float), 0U);
  EXPECT_EQ(reinterpret_cast<const float*>(view.data)[1], -2.25F);
  EXPECT_TRUE(contains(message_of([&] { file.tensor("b"); }), "has no tensor \"b\""));
}

TEST_F(SafetensorsFiles, WriterGivesWhatTheReaderTakes) {
  const auto path = folder_ / "w.safetensors";
  std::vector<TensorSpec> specs{
      {"small", DType::u8, {3}}, {"wide", DType::f32, {1, 2}}, {"na\"me", DType::bf16, {}}};
  SafetensorsWriter writer(path, specs);
  std::string data =
      "wwwwWWWW"
      "nn"
      "sss";
  // In the writer's order, in pieces that do not end where tensors do.
  EXPECT_EQ(writer.tensors()[0].name, "wide");
  EXPECT_EQ(writer.tensors()[2].name, "small");
  writer.append(std::as_bytes(std::span(data).first(5)));
  EXPECT_TRUE(contains(message_of([&] { writer.commit(); }), "8 declared bytes are missing"));
  writer.append(std::as_bytes(std::span(data).subspan(5)));
  EXPECT_TRUE(contains(message_of([&] { writer.append(std::as_bytes(std::span(data))); }),
                       "more data than declared"));
  EXPECT_FALSE(std::filesystem::exists(path));
  writer.commit();
  const SafetensorsFile file(path);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  ASSERT_EQ(file.names(), (std::vector<std::string>{"wide", "na\"me", "small"}));
  EXPECT_EQ(std::memcmp(file.tensor("small").data, "sss", 3), 0);
  EXPECT_EQ(file.tensor("wide").shape, (std::vector<std::size_t>{1, 2}));
  EXPECT_TRUE(
      contains(message_of([&] {
                 SafetensorsWriter(folder_ / "x", {{"a", DType::u8, {1}}, {"a", DType::u8, {1}}});
               }),
               "'a' is named twice"));
}

}  // namespace
}  // namespace zaya
