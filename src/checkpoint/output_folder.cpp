#include "checkpoint/output_folder.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "base/file.h"
#include "zaya/error.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.json";

[[noreturn]] void fail(const fs::path& path, const char* what, const std::error_code& error) {
  throw Error({.where = path.string(), .what = fmt::format("{}: {}", what, error.message())});
}

std::vector<std::vector<TensorSpec>> shards_of(const std::vector<TensorSpec>& tensors,
                                               std::uint64_t max_bytes) {
  std::vector<std::vector<TensorSpec>> shards(1);
  std::uint64_t bytes = 0;
  for (const TensorSpec& t : tensors) {
    if (!shards.back().empty() && bytes + t.bytes() > max_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    bytes += t.bytes();
    shards.back().push_back(t);
  }
  return shards;
}

bool is_text(const fs::path& file) {
  constexpr std::array<std::string_view, 6> kKinds{".json", ".jinja", ".txt", ".md", ".model", ""};
  const std::string name = file.filename().string();
  return !name.starts_with('.') && name != kConfig && !name.ends_with(".index.json") &&
         std::find(kKinds.begin(), kKinds.end(), file.extension().string()) != kKinds.end();
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->is_regular_file(error)) files.push_back(it->path());
  }
  if (error) fail(folder, "cannot list", error);
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

OutputFolder::OutputFolder(fs::path path)
    : path_(std::move(path)), staging_(path_ / fmt::format(".{}.part", ::getpid())) {
  std::error_code error;
  if (fs::exists(path_, error)) {
    if (!fs::is_directory(path_, error)) {
      throw Error({.where = path_.string(), .what = "exists and is not a folder"});
    }
    if (!fs::is_empty(path_, error)) {
      throw Error({.where = path_.string(), .what = "exists and is not empty"});
    }
  } else {
    created_ = true;
  }
  fs::create_directories(staging_, error);
  if (error) fail(path_, "cannot create", error);
}

OutputFolder::~OutputFolder() {
  if (staging_.empty()) return;
  std::error_code ignored;
  fs::remove_all(staging_, ignored);
  if (created_) fs::remove(path_, ignored);
}

void OutputFolder::write_tensors(const std::vector<TensorSpec>& tensors,
                                 std::uint64_t max_shard_bytes, const Fill& fill) const {
  const auto shards = shards_of(tensors, max_shard_bytes);
  std::uint64_t total = 0;
  nlohmann::json map = nlohmann::json::object();
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string name =
        shards.size() == 1 ? "model.safetensors"
                           : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    SafetensorsWriter writer(staging_ / name, shards[i]);
    for (const TensorSpec& t : writer.tensors()) {
      fill(t, writer);
      map[t.name] = name;
      total += t.bytes();
    }
    writer.commit();
  }
  if (shards.size() == 1) return;
  const nlohmann::json index = {{"metadata", {{"total_size", total}}},
                                {"weight_map", std::move(map)}};
  write_file(staging_ / "model.safetensors.index.json", index.dump(2) + "\n");
}

void OutputFolder::copy_texts(const fs::path& from) const {
  for (const fs::path& file : files_in(from)) {
    if (is_text(file)) write_file(staging_ / file.filename(), read_file(file));
  }
}

void OutputFolder::commit() {
  std::vector<fs::path> files = files_in(staging_);
  // A folder without config.json is no checkpoint yet, so that comes last.
  std::stable_partition(files.begin(), files.end(),
                        [](const fs::path& file) { return file.filename() != kConfig; });
  std::error_code error;
  for (const fs::path& file : files) {
    fs::rename(file, path_ / file.filename(), error);
    if (error) fail(path_ / file.filename(), "cannot write", error);
  }
  fs::remove_all(staging_, error);
  staging_.clear();
}

}  // namespace zaya
