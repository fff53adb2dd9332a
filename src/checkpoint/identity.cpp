#include "checkpoint/identity.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>

#include "base/hash.h"

namespace zaya {
namespace {

// A page of memory: to read less of a mapped file would take as long.
constexpr std::size_t kSample = 4096;

std::span<const std::byte> sample_of(const TensorView& tensor) {
  const std::size_t bytes = std::min(kSample, tensor.bytes());
  return {tensor.data + (tensor.bytes() - bytes) / 2, bytes};
}

}  // namespace

std::string checkpoint_identity(const Checkpoint& checkpoint) {
  Hash hash;
  const ModelConfig& config = checkpoint.config();
  hash.add(native_config_json(config, "").dump());
  hash.add(config.skip_adds_input ? "skipped tokens get their input" : "");  // not in that dialect
  std::map<std::string, const TensorView*> tensors;
  for (const SafetensorsFile& file : checkpoint.files()) {
    for (const std::string& name : file.names()) tensors.emplace(name, &file.tensor(name));
  }
  for (const auto& [name, tensor] : tensors) {
    hash.add(name);
    hash.add(dtype_name(tensor->dtype));
    hash.add(shape_text(tensor->shape));
    hash.add(sample_of(*tensor));
  }
  for (const std::string& name : checkpoint.names()) hash.add(checkpoint.format(name));
  return hash.hex();
}

}  // namespace zaya
