#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"

namespace zaya {

/// A checkpoint folder being written. Files are made in a hidden folder inside it and take their
/// place together on commit(), config.json last; without commit() nothing stays.
class OutputFolder {
 public:
  /// Throws Error when `path` is there and not an empty folder.
  explicit OutputFolder(std::filesystem::path path);
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder();

  /// Where files are to be written until commit().
  const std::filesystem::path& staging() const { return staging_; }

  /// Writes one tensor's data with append() of the writer.
  using Fill = std::function<void(const TensorSpec& tensor, SafetensorsWriter& out)>;

  /// Writes the tensors, split as Hugging Face does: model.safetensors when all fit one shard, else
  /// model-00001-of-0000N.safetensors and an index. A tensor is never split.
  void write_tensors(const std::vector<TensorSpec>& tensors, std::uint64_t max_shard_bytes,
                     const Fill& fill) const;

  /// Copies tokenizer, chat template, generation defaults and the like: small files of known kinds,
  /// other than config.json and the index.
  void copy_texts(const std::filesystem::path& from) const;

  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path staging_;
  bool created_ = false;
};

}  // namespace zaya
