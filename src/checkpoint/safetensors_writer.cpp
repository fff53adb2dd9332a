#include <algorithm>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "base/json.h"
#include "checkpoint/safetensors.h"
#include "zaya/error.h"

namespace zaya {
namespace {

/// Tensors that fill whole words keep all after them aligned, and their order; the others follow.
std::vector<TensorSpec> by_alignment(std::vector<TensorSpec> tensors) {
  constexpr std::uint64_t kWord = 8;
  const auto rest = std::stable_partition(
      tensors.begin(), tensors.end(), [](const TensorSpec& t) { return t.bytes() % kWord == 0; });
  std::stable_sort(rest, tensors.end(), [](const TensorSpec& a, const TensorSpec& b) {
    return dtype_size(a.dtype) > dtype_size(b.dtype);
  });
  return tensors;
}

/// Length prefix and JSON; padded with spaces so that the data starts at a multiple of 8.
std::string header_text(const std::string& where, const std::vector<TensorSpec>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  // Written piece by piece: an ordered JSON object would search all names for each new one.
  std::string text = "{";
  if (!metadata.empty()) text += fmt::format("\"__metadata__\":{}", Json(metadata).dump());
  std::unordered_set<std::string> names;
  std::uint64_t offset = 0;
  for (const TensorSpec& t : tensors) {
    if (!names.insert(t.name).second || t.name == "__metadata__") {
      throw Error({.where = where, .what = fmt::format("tensor '{}' is named twice", t.name)});
    }
    if (text.size() > 1) text += ',';
    text += Json(t.name).dump();
    text += fmt::format(R"(:{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})",
                        dtype_name(t.dtype), shape_text(t.shape), offset, offset + t.bytes());
    offset += t.bytes();
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string prefix;
  for (int i = 0; i < 8; ++i) prefix += static_cast<char>(text.size() >> (8 * i) & 0xff);
  return prefix + text;
}

}  // namespace

std::uint64_t TensorSpec::bytes() const {
  std::uint64_t n = dtype_size(dtype);
  for (const std::size_t d : shape) n *= d;
  return n;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     std::vector<TensorSpec> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : where_(path.string()), tensors_(by_alignment(std::move(tensors))), file_(path) {
  for (const TensorSpec& t : tensors_) missing_ += t.bytes();
  file_.write(header_text(where_, tensors_, metadata));
}

void SafetensorsWriter::append(std::span<const std::byte> bytes) {
  if (bytes.size() > missing_) throw Error({.where = where_, .what = "more data than declared"});
  missing_ -= bytes.size();
  file_.write(bytes);
}

void SafetensorsWriter::commit() {
  if (missing_ != 0) {
    throw Error({.where = where_, .what = fmt::format("{} declared bytes are missing", missing_)});
  }
  file_.commit();
}

}  // namespace zaya
