#include "checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "base/json.h"
#include "zaya/error.h"

namespace zaya {
namespace {

constexpr std::uint64_t kMaxHeader = 100'000'000;
constexpr std::size_t kMaxRank = 16;
constexpr std::string_view kMetadata = "__metadata__";

using HeaderJson = nlohmann::json;

/// Consumes the header's members one by one while it is parsed, so that a hostile header costs no
/// more memory than its honest part.
class HeaderReader {
 public:
  HeaderReader(std::string where, std::uint64_t data_start, std::uint64_t data_bytes)
      : where_(std::move(where)), data_start_(data_start), data_bytes_(data_bytes) {}

  SafetensorsHeader read(std::string_view text) {
    const auto on_event = [this](int depth, HeaderJson::parse_event_t event, HeaderJson& value) {
      return take(depth, event, value);
    };
    try {
      // on_event takes every member away.
      const HeaderJson emptied = HeaderJson::parse(text, on_event);
    } catch (const HeaderJson::exception& e) {
      throw Error({.where = where_, .what = "header is not valid JSON", .found = e.what()});
    }
    check_data();
    return std::move(header_);
  }

 private:
  using Event = HeaderJson::parse_event_t;

  [[noreturn]] void fail(std::string what, std::string expected = {},
                         std::string found = {}) const {
    throw Error({.where = name_.empty() ? where_ : fmt::format("{}: {}", where_, shown_name(name_)),
                 .what = std::move(what),
                 .expected = std::move(expected),
                 .found = std::move(found)});
  }

  /// Depths: 0 the header, 1 a tensor or the metadata, 2 the arrays of a tensor. Returning false
  /// drops a value that has been taken.
  bool take(int depth, Event event, HeaderJson& value) {
    switch (event) {
      case Event::key:
        take_key(depth, value.get_ref<const std::string&>());
        return true;
      case Event::object_start:
        if (depth > 1) fail("header is nested too deeply");
        return true;
      case Event::object_end:
        if (depth != 1) return true;
        if (name_ == kMetadata) {
          take_metadata(value);
        } else {
          take_tensor(value);
        }
        name_.clear();
        return false;
      case Event::array_start:
        if (depth != 2) fail("header has an array in a wrong place");
        items_ = 0;
        return true;
      case Event::array_end:
        return true;
      case Event::value:
        if (depth < 2) fail("header entry is not an object");
        if (depth == 3 && ++items_ > kMaxRank) {
          fail("array is too long", fmt::format("at most {} items", kMaxRank));
        }
        return true;
    }
    return true;
  }

  void take_key(int depth, const std::string& key) {
    if (depth == 1) {
      if (!names_.insert(key).second) fail(fmt::format("{} appears twice", shown_name(key)));
      name_ = key;
      fields_.clear();
    } else {
      if (!fields_.insert(key).second) fail(fmt::format("field {} appears twice", shown_name(key)));
      if (name_ != kMetadata && key != "dtype" && key != "shape" && key != "data_offsets") {
        fail(fmt::format("unknown field {}", shown_name(key)), "dtype, shape, data_offsets");
      }
    }
  }

  void take_metadata(const HeaderJson& value) {
    for (const auto& [key, item] : value.items()) {
      if (!item.is_string()) fail(fmt::format("{} is not a string", shown_name(key)));
      header_.metadata[key] = item.get<std::string>();
    }
  }

  std::uint64_t whole_number(const HeaderJson& value, const char* field) const {
    if (!value.is_number_unsigned()) {
      fail(fmt::format("bad {}", field), "a whole number", shown_name(value.dump()));
    }
    return value.get<std::uint64_t>();
  }

  const HeaderJson& field(const HeaderJson& object, const char* key, bool array) const {
    const auto it = object.find(key);
    if (it == object.end()) fail(fmt::format("field {} is missing", key));
    if (array ? !it->is_array() : !it->is_string()) {
      fail(fmt::format("bad {}", key), array ? "a list" : "a string", shown_name(it->dump()));
    }
    return *it;
  }

  void take_tensor(const HeaderJson& value) {
    TensorEntry entry;
    entry.name = name_;
    const auto dtype = field(value, "dtype", false).get<std::string>();
    if (!parse_dtype(dtype, entry.dtype)) fail("unknown dtype", {}, shown_name(dtype));

    std::uint64_t bytes = dtype_size(entry.dtype);
    // A zero anywhere makes the product zero, yet the other factors must not overflow before it.
    bool overflow = false;
    for (const HeaderJson& item : field(value, "shape", true)) {
      const std::uint64_t d = whole_number(item, "shape");
      entry.shape.push_back(d);
      overflow |= __builtin_mul_overflow(bytes, d, &bytes);
    }
    if (overflow) fail("shape is too large", {}, shape_text(entry.shape));

    const HeaderJson& offsets = field(value, "data_offsets", true);
    if (offsets.size() != 2) fail("bad data_offsets", "begin and end");
    const std::uint64_t begin = whole_number(offsets[0], "data_offsets");
    const std::uint64_t end = whole_number(offsets[1], "data_offsets");
    if (begin > end || end > data_bytes_) {
      fail("data_offsets out of range", fmt::format("begin <= end <= {}", data_bytes_),
           fmt::format("[{}, {}]", begin, end));
    }
    if (end - begin != bytes) {
      fail("data has the wrong size",
           fmt::format("{} bytes for {} {}", bytes, dtype, shape_text(entry.shape)),
           fmt::format("{} bytes", end - begin));
    }
    entry.offset = data_start_ + begin;
    entry.bytes = bytes;
    header_.tensors.push_back(std::move(entry));
  }

  void check_data() {
    auto& tensors = header_.tensors;
    std::sort(tensors.begin(), tensors.end(), [](const TensorEntry& a, const TensorEntry& b) {
      return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
    });
    std::uint64_t next = data_start_;
    for (const TensorEntry& t : tensors) {
      name_ = t.name;
      if (t.offset < next) fail("data overlaps another tensor's");
      if (t.offset > next) fail(fmt::format("{} unclaimed bytes before its data", t.offset - next));
      next = t.offset + t.bytes;
    }
    name_.clear();
    if (next != data_start_ + data_bytes_) {
      fail("data has the wrong size", fmt::format("{} bytes", next - data_start_),
           fmt::format("{} bytes", data_bytes_));
    }
  }

  std::string where_;
  std::uint64_t data_start_;
  std::uint64_t data_bytes_;
  SafetensorsHeader header_;
  std::string name_;  ///< the member being read
  std::size_t items_ = 0;
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> fields_;
};

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::string& where) {
  constexpr std::size_t kPrefix = 8;
  if (file.size() < kPrefix) {
    throw Error({.where = where,
                 .what = "not a safetensors file",
                 .expected = "at least 8 bytes",
                 .found = fmt::format("{} bytes", file.size())});
  }
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kPrefix; ++i) {
    length |= std::to_integer<std::uint64_t>(file[i]) << (8 * i);
  }
  if (length > kMaxHeader) {
    throw Error({.where = where,
                 .what = "header length is absurd; not a safetensors file?",
                 .expected = fmt::format("at most {} bytes", kMaxHeader),
                 .found = fmt::format("{} bytes", length)});
  }
  if (length > file.size() - kPrefix) {
    throw Error({.where = where,
                 .what = "file is truncated inside the header",
                 .expected = fmt::format("{} bytes", length + kPrefix),
                 .found = fmt::format("{} bytes", file.size())});
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kPrefix, length);
  if (text.empty() || text.front() != '{') {
    throw Error({.where = where, .what = "header is not a JSON object"});
  }
  const std::uint64_t data_start = kPrefix + length;
  return HeaderReader(where, data_start, file.size() - data_start).read(text);
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  SafetensorsHeader header = parse_safetensors_header(file_.bytes(), path.string());
  metadata_ = std::move(header.metadata);
  std::uint64_t copied = 0;
  for (TensorEntry& entry : header.tensors) {
    const std::byte* data = file_.bytes().data() + entry.offset;
    if (reinterpret_cast<std::uintptr_t>(data) % dtype_size(entry.dtype) != 0) {
      copied += entry.bytes;
      if (copied > kMaxRealigned) {
        throw Error({.where = fmt::format("{}: {}", path.string(), shown_name(entry.name)),
                     .what = "too much data is not aligned to its element size; save it again "
                             "with a current safetensors library"});
      }
      realigned_.push_back(std::make_unique<std::byte[]>(entry.bytes));
      std::memcpy(realigned_.back().get(), data, entry.bytes);
      data = realigned_.back().get();
    }
    names_.push_back(entry.name);
    tensors_.emplace(
        std::move(entry.name),
        TensorView{.dtype = entry.dtype, .shape = std::move(entry.shape), .data = data});
  }
}

const TensorView& SafetensorsFile::tensor(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    throw Error(
        {.where = path().string(), .what = fmt::format("has no tensor {}", shown_name(name))});
  }
  return it->second;
}

}  // namespace zaya
