#include "cache/session_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/hash.h"
#include "compute/attention.h"
#include "zaya/error.h"

namespace zaya {
namespace {

constexpr const char* kFormat = "zaya-session";
constexpr const char* kVersion = "1";
constexpr const char* kTokens = "tokens";
constexpr const char* kTail = "tail";

using Metadata = std::map<std::string, std::string>;
using Bytes = std::span<const std::byte>;

std::string kv_name(std::size_t layer) {
  return fmt::format("layer.{}.kv", layer);
}

/// "40 x bf16/bf16": keys and values of runs of layers.
std::string kv_text(const StateLayout& layout) {
  std::string text;
  for (std::size_t layer = 0, next = 0; layer < layout.layers(); layer = next) {
    while (next < layout.layers() && layout.kv(next) == layout.kv(layer)) ++next;
    text +=
        fmt::format("{}{} x {}/{}", text.empty() ? "" : ", ", next - layer,
                    kv_format_name(layout.kv(layer).keys), kv_format_name(layout.kv(layer).values));
  }
  return text;
}

std::size_t pages_for(std::size_t tokens) {
  return (tokens + StateLayout::kPageTokens - 1) / StateLayout::kPageTokens;
}

/// Most pages that a layer may lack: the next token reads none of them.
std::size_t most_dropped(const StateLayout& layout, std::size_t layer, std::size_t length) {
  const std::size_t window = layout.window(layer);
  if (window == 0 || length < window) return 0;
  return (length - window + 1) / StateLayout::kPageTokens;
}

/// Metadata in which files must agree to be exchanged; "checksum" comes on top.
Metadata metadata_of(const StateLayout& layout, const SessionOwner& owner) {
  return {{"format", kFormat},
          {"version", kVersion},
          {"checkpoint", owner.checkpoint},
          {"compute", owner.compute},
          {"kv", kv_text(layout)}};
}

std::string checksum(const Metadata& metadata, std::span<const Bytes> data) {
  Hash hash;
  for (const auto& [key, value] : metadata) {
    hash.add(key);
    hash.add(value);
  }
  for (const Bytes bytes : data) hash.add(bytes);
  return hash.hex();
}

}  // namespace

void write_session(const std::filesystem::path& path, const Sequence& sequence,
                   const StateLayout& layout, const SessionOwner& owner) {
  if (sequence.length() == 0) {
    throw Error({.where = path.string(), .what = "there is no state to save before any token"});
  }
  if (sequence.adapter() != nullptr) {
    throw Error({.where = path.string(), .what = "state of an adapter cannot be saved"});
  }
  std::map<std::string, std::vector<Bytes>> parts;
  std::vector<TensorSpec> tensors;
  std::vector<Bytes> all;
  const auto add = [&](std::string name, DType type, std::vector<std::size_t> shape,
                       std::vector<Bytes> bytes) {
    all.insert(all.end(), bytes.begin(), bytes.end());
    tensors.push_back({name, type, std::move(shape)});
    parts.emplace(std::move(name), std::move(bytes));
  };
  add(kTokens, DType::i32, {sequence.length()}, {std::as_bytes(std::span(sequence.tokens()))});
  add(kTail, DType::f32, {layout.layers(), layout.tail_floats()}, {std::as_bytes(sequence.tail())});
  for (std::size_t layer = 0; layer < layout.layers(); ++layer) {
    std::vector<Bytes> pages;
    for (const std::byte* page : sequence.pages(layer)) {
      if (page != nullptr) pages.emplace_back(page, layout.page_bytes(layer));
    }
    const std::size_t count = pages.size();
    add(kv_name(layer), DType::u8, {count, layout.page_bytes(layer)}, std::move(pages));
  }
  Metadata metadata = metadata_of(layout, owner);
  metadata.emplace("checksum", checksum(metadata, all));
  SafetensorsWriter writer(path, std::move(tensors), metadata);
  for (const TensorSpec& tensor : writer.tensors()) {
    for (const Bytes bytes : parts.at(tensor.name)) writer.append(bytes);
  }
  writer.commit();
}

SessionFile::SessionFile(Bytes file, std::string where, const StateLayout& layout,
                         const SessionOwner& owner)
    : where_(std::move(where)), file_(file), header_(parse_safetensors_header(file, where_)) {
  Metadata& metadata = header_.metadata;
  if (metadata["format"] != kFormat) {
    throw Error({.where = where_, .what = "is safetensors, but no session of zaya"});
  }
  const Metadata wanted = metadata_of(layout, owner);
  // The version first: another one may say everything else in another way.
  for (const char* key : {"version", "checkpoint", "compute", "kv"}) {
    if (metadata[key] == wanted.at(key)) continue;
    throw Error({.where = where_,
                 .what = fmt::format("the session was saved with another {}", key),
                 .expected = wanted.at(key),
                 .found = shown_name(metadata[key])});
  }
  const std::size_t length = first_of(kTokens);
  if (length == 0) throw Error({.where = where_, .what = "the session has no tokens"});
  data_.push_back(take(kTokens, DType::i32, {length}));
  data_.push_back(take(kTail, DType::f32, {layout.layers(), layout.tail_floats()}));
  const std::size_t pages = pages_for(length);
  for (std::size_t layer = 0; layer < layout.layers(); ++layer) {
    const std::size_t least = pages - most_dropped(layout, layer, length);
    const std::size_t held = std::clamp(first_of(kv_name(layer)), least, pages);
    data_.push_back(take(kv_name(layer), DType::u8, {held, layout.page_bytes(layer)}));
    dropped_.push_back(pages - held);
  }
  if (header_.tensors.size() != data_.size()) {
    throw Error({.where = where_,
                 .what = "the session has more than a state",
                 .expected = fmt::format("{} tensors", data_.size()),
                 .found = fmt::format("{}", header_.tensors.size())});
  }
  tokens_.resize(length);
  std::memcpy(tokens_.data(), data_[0].data(), data_[0].size());
}

/// The first dimension of a tensor; 0 where there is none.
std::size_t SessionFile::first_of(const std::string& name) const {
  for (const TensorEntry& tensor : header_.tensors) {
    if (tensor.name == name && !tensor.shape.empty()) return tensor.shape[0];
  }
  return 0;
}

std::size_t SessionFile::kv_bytes() const {
  std::size_t bytes = 0;
  for (std::size_t i = 2; i < data_.size(); ++i) bytes += data_[i].size();
  return bytes;
}

Bytes SessionFile::take(const std::string& name, DType type,
                        const std::vector<std::size_t>& shape) {
  const auto describe = [](DType dtype, const std::vector<std::size_t>& sizes) {
    return fmt::format("{} {}", dtype_name(dtype), shape_text(sizes));
  };
  const auto tensor = std::find_if(header_.tensors.begin(), header_.tensors.end(),
                                   [&](const TensorEntry& t) { return t.name == name; });
  const bool there = tensor != header_.tensors.end();
  if (!there || tensor->dtype != type || tensor->shape != shape) {
    throw Error({.where = fmt::format("{}: {}", where_, name),
                 .what = "the session does not fit the model",
                 .expected = describe(type, shape),
                 .found = there ? describe(tensor->dtype, tensor->shape) : "no such tensor"});
  }
  return file_.subspan(tensor->offset, tensor->bytes);
}

void SessionFile::verify() const {
  Metadata metadata = header_.metadata;
  const std::string expected = metadata["checksum"];
  metadata.erase("checksum");
  const std::string found = checksum(metadata, data_);
  if (found == expected) return;
  throw Error({.where = where_,
               .what = "the session is damaged: its checksum is wrong",
               .expected = shown_name(expected),
               .found = found});
}

void SessionFile::restore(Sequence& sequence) const {
  const SequenceView view = sequence.begin_restore(tokens_.size(), dropped_);
  std::memcpy(view.tail, data_[1].data(), data_[1].size());
  for (std::size_t layer = 0; layer < view.pages.size(); ++layer) {
    const auto pages = view.pages[layer].subspan(dropped_[layer]);
    Bytes from = data_[2 + layer];
    const std::size_t bytes = pages.empty() ? 0 : from.size() / pages.size();
    for (std::byte* page : pages) {
      std::memcpy(page, from.data(), bytes);
      from = from.subspan(bytes);
    }
  }
  sequence.end_step(tokens_);
}

}  // namespace zaya
