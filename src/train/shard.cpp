#include "train/shard.h"

#include <algorithm>
#include <cstring>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/hash.h"
#include "zaya/error.h"

namespace zaya::train {
namespace {

constexpr const char* kFormat = "zaya tokens 1";

template <class T>
std::span<const T> values(const SafetensorsFile& file, const char* name, DType dtype) {
  const TensorView& t = file.tensor(name);
  if (t.dtype != dtype || t.shape.size() != 1) {
    throw Error({.where = file.path().string(),
                 .what = fmt::format("tensor '{}' is not what a token shard holds", name),
                 .expected = fmt::format("{} [n]", dtype_name(dtype)),
                 .found = fmt::format("{} {}", dtype_name(t.dtype), shape_text(t.shape))});
  }
  return {reinterpret_cast<const T*>(t.data), t.shape[0]};
}

template <class Tokens, class Loss, class Starts>
std::string checksum(const Tokens& tokens, const Loss& loss, const Starts& starts) {
  Hash hash;
  hash.add(std::as_bytes(std::span(tokens)));
  hash.add(std::as_bytes(std::span(loss)));
  hash.add(std::as_bytes(std::span(starts)));
  return "xxh3:" + hash.hex();
}

}  // namespace

void Examples::add(std::span<const TokenId> example, std::span<const std::uint8_t> targets) {
  tokens.insert(tokens.end(), example.begin(), example.end());
  loss.insert(loss.end(), targets.begin(), targets.end());
  starts.push_back(static_cast<std::int64_t>(tokens.size()));
}

void write_shard(const std::filesystem::path& path, const Examples& examples,
                 std::map<std::string, std::string> metadata) {
  metadata["format"] = kFormat;
  metadata["checksum"] = checksum(examples.tokens, examples.loss, examples.starts);
  const std::map<std::string, std::span<const std::byte>> data = {
      {"tokens", std::as_bytes(std::span(examples.tokens))},
      {"loss", std::as_bytes(std::span(examples.loss))},
      {"starts", std::as_bytes(std::span(examples.starts))}};
  SafetensorsWriter writer(path,
                           {{"starts", DType::i64, {examples.starts.size()}},
                            {"tokens", DType::i32, {examples.tokens.size()}},
                            {"loss", DType::u8, {examples.loss.size()}}},
                           metadata);
  for (const TensorSpec& t : writer.tensors()) writer.append(data.at(t.name));
  writer.commit();
}

Shard::Shard(const std::filesystem::path& path) : file_(path) {
  const auto& metadata = file_.metadata();
  const auto format = metadata.find("format");
  if (format == metadata.end() || format->second != kFormat) {
    throw Error({.where = path.string(),
                 .what = "is no token shard",
                 .expected = fmt::format("a file that zaya prepare wrote ({})", kFormat)});
  }
  tokens_ = values<TokenId>(file_, "tokens", DType::i32);
  loss_ = values<std::uint8_t>(file_, "loss", DType::u8);
  starts_ = values<std::int64_t>(file_, "starts", DType::i64);
  const auto sum = metadata.find("checksum");
  const std::string found = checksum(tokens_, loss_, starts_);
  if (sum == metadata.end() || sum->second != found) {
    throw Error({.where = path.string(),
                 .what = "the data does not have its checksum: the file is damaged",
                 .expected = sum == metadata.end() ? "a checksum" : sum->second,
                 .found = found});
  }
  const bool ordered = !starts_.empty() && starts_.front() == 0 &&
                       std::is_sorted(starts_.begin(), starts_.end()) &&
                       starts_.back() == static_cast<std::int64_t>(tokens_.size());
  if (!ordered || loss_.size() != tokens_.size()) {
    throw Error({.where = path.string(), .what = "the examples do not fit the tokens"});
  }
}

std::vector<std::filesystem::path> shard_files(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> files;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().extension() == ".tokens") files.push_back(it->path());
  }
  if (error) {
    throw Error({.where = folder.string(), .what = "cannot list: " + error.message()});
  }
  if (files.empty()) {
    throw Error({.where = folder.string(),
                 .what = "there are no token shards",
                 .expected = "*.tokens, as zaya prepare writes them"});
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace zaya::train
