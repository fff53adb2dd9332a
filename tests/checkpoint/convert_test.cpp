#include "checkpoint/convert.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/file.h"
#include "checkpoint/init.h"
#include "tests/checkpoint/helpers.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

void expect_same_tensors(const Checkpoint& a, const Checkpoint& b) {
  ASSERT_EQ(a.names(), b.names());
  for (const std::string& name : a.names()) {
    EXPECT_TRUE(same(a.tensor(name), b.tensor(name))) << name;
  }
}

std::vector<std::string> listing(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Convert : public FolderTest {};

TEST_F(Convert, ThereAndBackIsExact) {
  for (const std::string name : {"native", "legacy-sliding", "base-schema", "native-bf16"}) {
    const Checkpoint original = Checkpoint::open(golden(name));
    const Layout own = original.config_file().layout;
    const Layout other = own == Layout::native ? Layout::legacy : Layout::native;
    convert_checkpoint(original, other, folder_ / name / "there");
    const Checkpoint there = Checkpoint::open(folder_ / name / "there");
    EXPECT_EQ(there.config_file().layout, other);
    EXPECT_TRUE(there.config_file().notes.empty());
    EXPECT_EQ(there.config_file().dtype, original.config_file().dtype);
    expect_same_tensors(original, there);
    convert_checkpoint(there, own, folder_ / name / "back", 2'000'000);
    const Checkpoint back = Checkpoint::open(folder_ / name / "back");
    expect_same_tensors(original, back);
    EXPECT_EQ(native_config_json(back.config(), ""), native_config_json(original.config(), ""));
  }
}

TEST_F(Convert, EqualsWhatTheReferenceStores) {
  convert_checkpoint(Checkpoint::open(golden("native")), Layout::legacy, folder_ / "out");
  const SafetensorsFile ours(folder_ / "out" / "model.safetensors");
  const SafetensorsFile theirs(golden("legacy") / "model.safetensors");
  EXPECT_EQ(ours.names().size(), theirs.names().size());
  for (const std::string& name : theirs.names()) {
    EXPECT_TRUE(same(ours.tensor(name), theirs.tensor(name))) << name;
  }
}

TEST_F(Convert, CopiesTheTextFilesOnly) {
  const fs::path in = folder_ / "in";
  fs::copy(golden("native"), in);
  put(in / "tokenizer.json", "{}");
  put(in / "chat_template.jinja", "x");
  put(in / "other.safetensors", "not ours");
  put(in / "pytorch_model.bin", "not ours");
  put(in / ".hidden.json", "not ours");
  fs::remove(in / "activations.safetensors");
  fs::create_directory(folder_ / "out");
  convert_checkpoint(Checkpoint::open(in), Layout::legacy, folder_ / "out");
  EXPECT_EQ(listing(folder_ / "out"),
            (std::vector<std::string>{"chat_template.jinja", "config.json", "expected.json",
                                      "model.safetensors", "tokenizer.json"}));
}

TEST_F(Convert, RefusesAnOutputThatHoldsSomething) {
  const Checkpoint checkpoint = Checkpoint::open(golden("native"));
  put(folder_ / "file", "x");
  const auto refusal = [&](const fs::path& out) {
    return message_of([&] { convert_checkpoint(checkpoint, Layout::legacy, out); });
  };
  EXPECT_TRUE(contains(refusal(folder_), "exists and is not empty"));
  EXPECT_TRUE(contains(refusal(folder_ / "file"), "exists and is not a folder"));
  EXPECT_TRUE(contains(refusal(folder_ / "file" / "below"), "cannot create"));
  EXPECT_EQ(listing(folder_), std::vector<std::string>{"file"});
}

TEST_F(Convert, LeavesNothingWhenStopped) {
  const Checkpoint checkpoint = Checkpoint::open(golden("native"));
  const auto stop = [](std::uint64_t done, std::uint64_t total) { return done < total / 2; };
  EXPECT_THROW(convert_checkpoint(checkpoint, Layout::legacy, folder_ / "new", 1'000'000, stop),
               Cancelled);
  EXPECT_FALSE(fs::exists(folder_ / "new"));
  fs::create_directory(folder_ / "empty");
  EXPECT_THROW(convert_checkpoint(checkpoint, Layout::legacy, folder_ / "empty", 1'000'000, stop),
               Cancelled);
  EXPECT_TRUE(listing(folder_ / "empty").empty());
}

TEST_F(Convert, SaysWhenTheLayoutsMayDiffer) {
  fs::copy(golden("native"), folder_ / "in");
  const Checkpoint fine = Checkpoint::open(folder_ / "in");
  EXPECT_TRUE(convert_checkpoint(fine, Layout::legacy, folder_ / "a").empty());
  // A skip bias of 0 lets the skip class win.
  const TensorView& biases = fine.tensor("model.layers.2.mlp.gate.balancing_biases");
  const fs::path file = folder_ / "in" / "model.safetensors";
  std::string bytes = read_file(file);
  const std::string needle(reinterpret_cast<const char*>(biases.data), biases.bytes());
  const auto at = bytes.find(needle);
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at + biases.bytes() - 4, 4, 4, '\0');
  put(folder_ / "changed", bytes);
  fs::rename(folder_ / "changed", file);
  const auto notes =
      convert_checkpoint(Checkpoint::open(folder_ / "in"), Layout::legacy, folder_ / "b");
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_TRUE(contains(notes[0], "skip class"));
}

TEST_F(Convert, UnlikeExpertsCannotBeStacked) {
  fs::copy(golden("legacy"), folder_ / "in");
  const SafetensorsFile file(golden("legacy") / "model.safetensors");
  std::vector<TensorSpec> specs;
  for (const std::string& name : file.names()) {
    const TensorView& view = file.tensor(name);
    const bool odd = name == "model.layers.1.zaya_block.experts.local_experts.2.linear_fc1.weight";
    specs.push_back({name, odd ? DType::bf16 : view.dtype, view.shape});
  }
  SafetensorsWriter writer(folder_ / "in" / "model.safetensors", specs);
  for (const TensorSpec& spec : writer.tensors()) {
    const std::string zeros(spec.bytes(), '\0');
    writer.append(std::as_bytes(std::span(zeros)));
  }
  writer.commit();
  EXPECT_TRUE(contains(
      message_of([&] {
        convert_checkpoint(Checkpoint::open(folder_ / "in"), Layout::native, folder_ / "out");
      }),
      "model.layers.0.mlp.experts.2.gate_up_proj: cannot be stacked with the other "
      "experts: expected F32, found BF16"));
}

}  // namespace
}  // namespace zaya
