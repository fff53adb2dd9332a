#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "checkpoint/tensor.h"

namespace zaya {

/// What a safetensors header says of one tensor.
struct TensorEntry {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::size_t> shape;
  std::uint64_t offset = 0;  ///< of its first byte, from the start of the file
  std::uint64_t bytes = 0;
};

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  ///< in the order of their data
  std::map<std::string, std::string> metadata;
};

/// Reads and checks the header of a whole safetensors file: 8 bytes of header length (little
/// endian), a JSON object, then the data. Held to the rules of the format's own library: the header
/// is at most 100 MB and starts with '{', names are unique, every tensor has exactly the bytes of
/// its shape and type, and the tensors fill the data without gap or overlap. Throws Error naming
/// `where` and the tensor.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::string& where);

/// A safetensors file, mapped.
///
/// The format allows data that is not aligned to its element size. Such tensors are copied to
/// aligned memory, up to kMaxRealigned bytes a file; beyond that, opening fails.
class SafetensorsFile {
 public:
  static constexpr std::uint64_t kMaxRealigned = 1ULL << 30;

  /// Throws Error for a file that cannot be read or breaks the rules.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  /// In the order of their data.
  const std::vector<std::string>& names() const { return names_; }
  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  /// Throws Error when the file has no such tensor.
  const TensorView& tensor(const std::string& name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  MappedFile file_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
  std::vector<std::unique_ptr<std::byte[]>> realigned_;
};

/// What a tensor to be written is called and looks like.
struct TensorSpec {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::size_t> shape;

  std::uint64_t bytes() const;
};

/// Writes a safetensors file in one pass: the header first, then the data as it comes. The file
/// appears under its name only on commit().
class SafetensorsWriter {
 public:
  /// Throws Error when the file cannot be created, or a name comes twice.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorSpec> tensors,
                    const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

  /// The order in which the data must be appended, such that all of it is aligned: tensors of whole
  /// 8-byte words first, as given, then the others, wider element types first.
  const std::vector<TensorSpec>& tensors() const { return tensors_; }

  /// The next bytes of the data; pieces need not end where tensors do.
  void append(std::span<const std::byte> bytes);
  /// Throws Error when less data came than was declared.
  void commit();

 private:
  std::string where_;
  std::vector<TensorSpec> tensors_;
  std::uint64_t missing_ = 0;  ///< bytes declared and not yet appended
  OutputFile file_;
};

}  // namespace zaya
