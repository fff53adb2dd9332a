#include "checkpoint/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"
#include "checkpoint/layout.h"
#include "checkpoint/output_folder.h"
#include "compute/thread_pool.h"
#include "zaya/error.h"

namespace zaya {
namespace {

/// Weights worked on at once: enough rows for every thread, and little memory.
constexpr std::size_t kPiece = std::size_t{4} << 20;

/// One tensor of the native table and what becomes of it.
struct Item {
  StoredTensor stored;
  WeightFormat format = WeightFormat::keep;
  DType type = DType::bf16;  ///< of a plain one

  std::size_t rows() const { return stored.shape[stored.shape.size() - 2]; }
  std::size_t cols() const { return stored.shape.back(); }
  bool encoded() const { return format != WeightFormat::keep && format != WeightFormat::bf16; }
  /// With the stack's leading dimension, where there is one.
  std::vector<std::size_t> shape(std::size_t a, std::size_t b) const {
    std::vector<std::size_t> shape{a, b};
    if (stored.stacked) shape.insert(shape.begin(), stored.shape.front());
    return shape;
  }
};

/// What of an item a tensor on disk holds.
enum class Part { plain, codes, scales, globals, shape };

struct Output {
  const Item* item = nullptr;
  Part part = Part::plain;
};

bool is_matrix(const StoredTensor& t) {
  return role_of(t.name) != Role::other && t.shape.size() == (t.stacked ? 3U : 2U);
}

/// The type that holds every part without loss.
DType plain_type(const Checkpoint& checkpoint, const StoredTensor& stored) {
  const auto type_of = [&](const std::string& part) {
    return checkpoint.is_quantized(part) ? DType::bf16 : checkpoint.tensor(part).dtype;
  };
  const DType type = type_of(stored.parts.front());
  const bool common = std::all_of(stored.parts.begin(), stored.parts.end(),
                                  [&](const std::string& part) { return type_of(part) == type; });
  return common ? type : DType::f32;
}

/// Reads any tensor as floats.
class Source {
 public:
  Source(const Checkpoint& checkpoint, std::string name) : name_(std::move(name)) {
    if (checkpoint.is_quantized(name_)) {
      view_ = checkpoint.matrix(name_);
    } else {
      plain_ = &checkpoint.tensor(name_);
    }
  }

  /// Row r of a matrix [.., cols].
  void row(std::size_t r, std::size_t cols, float* out) const {
    if (plain_ == nullptr) {
      copy_row(view_, r, out);
      return;
    }
    const std::byte* data = plain_->data + r * cols * dtype_size(plain_->dtype);
    switch (plain_->dtype) {
      case DType::f32:
        std::memcpy(out, data, cols * sizeof(float));
        break;
      case DType::bf16:
        for (std::size_t i = 0; i < cols; ++i) out[i] = to_float(load<bf16>(data, i));
        break;
      default:
        for (std::size_t i = 0; i < cols; ++i) out[i] = f16_to_float(load<std::uint16_t>(data, i));
        break;
    }
  }

  /// The same, and its largest magnitude; throws for what is not finite.
  float finite_row(std::size_t r, std::size_t cols, float* out) const {
    row(r, cols, out);
    const float largest = largest_magnitude(out, cols);
    if (!std::isfinite(largest)) {
      throw Error(
          {.where = name_, .what = fmt::format("row {} holds a value that is not finite", r)});
    }
    return largest;
  }

 private:
  template <class T>
  static T load(const std::byte* data, std::size_t i) {
    T value;
    std::memcpy(&value, data + i * sizeof(T), sizeof(T));
    return value;
  }

  std::string name_;
  const TensorView* plain_ = nullptr;
  WeightView view_;
};

class Quantizer {
 public:
  Quantizer(const Checkpoint& checkpoint, const QuantizeOptions& options, const Progress& progress)
      : checkpoint_(checkpoint), options_(options), progress_(progress) {
    for (StoredTensor& stored : tensor_table(checkpoint.config(), Layout::native)) {
      Item item;
      if (is_matrix(stored)) item.format = options.of(role_of(stored.name));
      item.type = item.format == WeightFormat::bf16 ? DType::bf16 : plain_type(checkpoint, stored);
      item.stored = std::move(stored);
      items_.push_back(std::move(item));
    }
    for (const Item& item : items_) plan(item);
    for (const TensorSpec& spec : specs_) total_ += spec.bytes();
  }

  void write(const OutputFolder& out) {
    report(progress_, 0, total_);
    out.write_tensors(specs_, options_.max_shard_bytes,
                      [this](const TensorSpec& spec, SafetensorsWriter& writer) {
                        writer_ = &writer;
                        fill(outputs_.at(spec.name));
                      });
  }

 private:
  void add(const Item& item, Part part, std::string name, DType type,
           std::vector<std::size_t> shape) {
    outputs_.emplace(name, Output{&item, part});
    specs_.push_back({std::move(name), type, std::move(shape)});
  }

  void plan(const Item& item) {
    const std::string& name = item.stored.name;
    if (!item.encoded()) {
      add(item, Part::plain, name, item.type, item.stored.shape);
      return;
    }
    const RowEncoder encoder = encoder_of(item);
    const std::string base = item.stored.stacked ? name : name.substr(0, name.rfind(".weight"));
    const auto parts = [&](const char* suffix) { return base + suffix; };
    const std::size_t rows = item.rows();
    switch (item.format) {
      case WeightFormat::fp8:
        add(item, Part::codes, name, DType::f8_e4m3, item.stored.shape);
        break;
      case WeightFormat::int8:
      case WeightFormat::int4:
        add(item, Part::codes, parts(".weight_packed"), DType::i32,
            item.shape(rows, encoder.code_bytes() / 4));
        break;
      default:
        add(item, Part::codes, parts(".weight_packed"), DType::u8,
            item.shape(rows, encoder.code_bytes()));
        break;
    }
    const bool e4m3 = item.format == WeightFormat::nvfp4;
    const bool e8m0 = item.format == WeightFormat::mxfp4;
    const DType type = e4m3 ? DType::f8_e4m3 : e8m0 ? DType::u8 : DType::bf16;
    add(item, Part::scales, parts(".weight_scale"), type,
        item.shape(rows, encoder.scale_bytes() / dtype_size(type)));
    if (e4m3) {
      add(item, Part::globals, parts(".weight_global_scale"), DType::f32,
          item.stored.stacked ? item.shape(1, 1) : std::vector<std::size_t>{1});
    }
    const bool is_int = item.format == WeightFormat::int4 || item.format == WeightFormat::int8;
    if (is_int && !item.stored.stacked) {
      add(item, Part::shape, parts(".weight_shape"), DType::i64, {2});
    }
  }

  static RowEncoder encoder_of(const Item& item) {
    try {
      return {item.format, item.cols()};
    } catch (const Error& e) {
      Error::Detail detail = e.detail();
      detail.where = fmt::format("{}: {}", item.stored.name, detail.where);
      throw Error(detail);
    }
  }

  void append(std::span<const std::byte> bytes) {
    writer_->append(bytes);
    report(progress_, done_ += bytes.size(), total_);
  }

  void fill(const Output& output) {
    const Item& item = *output.item;
    switch (output.part) {
      case Part::plain:
        write_plain(item);
        break;
      case Part::codes:
        encode(item, true);
        break;
      case Part::scales:
        append_kept(item, &Kept::scales);
        break;
      case Part::globals:
        append_kept(item, &Kept::globals);
        break;
      case Part::shape: {
        const std::array<std::int64_t, 2> shape{static_cast<std::int64_t>(item.rows()),
                                                static_cast<std::int64_t>(item.cols())};
        append(std::as_bytes(std::span(shape)));
        break;
      }
    }
  }

  /// Scales of an item whose codes have been written, until their own turn comes.
  struct Kept {
    std::vector<std::byte> scales;
    std::vector<std::byte> globals;
  };

  void append_kept(const Item& item, std::vector<std::byte> Kept::*member) {
    // Their turn comes first only in files with tensors of odd sizes.
    if (kept_[&item].scales.empty() && kept_[&item].globals.empty()) encode(item, false);
    std::vector<std::byte> bytes = std::move(kept_[&item].*member);
    (kept_[&item].*member).clear();
    append(bytes);
  }

  void write_plain(const Item& item) {
    for (const std::string& part : item.stored.parts) {
      if (!checkpoint_.is_quantized(part) && checkpoint_.tensor(part).dtype == item.type) {
        const TensorView& view = checkpoint_.tensor(part);
        for (std::size_t at = 0; at < view.bytes(); at += kPiece) {
          append({view.data + at, std::min(kPiece, view.bytes() - at)});
        }
        continue;
      }
      widen_or_round(Source(checkpoint_, part), item);
    }
  }

  void widen_or_round(const Source& source, const Item& item) {
    const std::size_t cols = item.cols();
    const std::size_t rows = item.stored.elements() / item.stored.parts.size() / cols;
    std::vector<float> row(cols);
    std::vector<bf16> rounded(cols);
    for (std::size_t r = 0; r < rows; ++r) {
      source.row(r, cols, row.data());
      if (item.type == DType::f32) {
        append(std::as_bytes(std::span(row)));
        continue;
      }
      std::transform(row.begin(), row.end(), rounded.begin(), to_bf16);
      append(std::as_bytes(std::span(rounded)));
    }
  }

  void encode(const Item& item, bool write_codes) {
    Kept& kept = kept_[&item];
    kept = {};
    for (const std::string& part : item.stored.parts) {
      const Source source(checkpoint_, part);
      std::span<const float> importance;
      if (options_.importance) importance = options_.importance(part);
      if (!importance.empty() && importance.size() != item.cols()) {
        throw Error({.where = part,
                     .what = "wrong number of column weights",
                     .expected = fmt::format("{}", item.cols()),
                     .found = fmt::format("{}", importance.size())});
      }
      float global = 1;
      if (item.format == WeightFormat::nvfp4) {
        const float divisor = global_divisor(source, item);
        const auto bytes = std::as_bytes(std::span(&divisor, 1));
        kept.globals.insert(kept.globals.end(), bytes.begin(), bytes.end());
        global = 1 / divisor;
      }
      encode_part(source, item, importance.data(), global, write_codes, kept.scales);
    }
  }

  void encode_part(const Source& source, const Item& item, const float* importance, float global,
                   bool write_codes, std::vector<std::byte>& scales) {
    const RowEncoder encoder = encoder_of(item);
    const std::size_t cols = item.cols();
    const std::size_t step = std::max<std::size_t>(1, kPiece / cols);
    codes_.resize(std::min(step, item.rows()) * encoder.code_bytes());
    for (std::size_t first = 0; first < item.rows(); first += step) {
      const std::size_t n = std::min(step, item.rows() - first);
      const std::size_t scales_at = scales.size();
      scales.resize(scales_at + n * encoder.scale_bytes());
      pool_.run_ranges(n, 1, [&](std::size_t begin, std::size_t end) {
        RowEncoder own = encoder;
        std::vector<float> row(cols);
        for (std::size_t r = begin; r < end; ++r) {
          source.finite_row(first + r, cols, row.data());
          own.encode(row.data(), importance, global, codes_.data() + r * encoder.code_bytes(),
                     scales.data() + scales_at + r * encoder.scale_bytes());
        }
      });
      if (write_codes) append({codes_.data(), n * encoder.code_bytes()});
    }
  }

  /// Such that the largest weight gets the largest scale and the largest code.
  float global_divisor(const Source& source, const Item& item) {
    constexpr float kLargest = 448 * 6;
    std::vector<float> peaks(item.rows());
    pool_.run_ranges(item.rows(), 1, [&](std::size_t begin, std::size_t end) {
      std::vector<float> row(item.cols());
      for (std::size_t r = begin; r < end; ++r) {
        peaks[r] = source.finite_row(r, item.cols(), row.data());
      }
    });
    const float peak = *std::max_element(peaks.begin(), peaks.end());
    const float divisor = kLargest / peak;
    return std::isnormal(divisor) && std::isnormal(1 / divisor) ? divisor : 1.0F;
  }

  const Checkpoint& checkpoint_;
  const QuantizeOptions& options_;
  const Progress& progress_;
  std::vector<Item> items_;
  std::vector<TensorSpec> specs_;
  std::unordered_map<std::string, Output> outputs_;
  std::unordered_map<const Item*, Kept> kept_;
  std::uint64_t total_ = 0;
  std::uint64_t done_ = 0;
  ThreadPool pool_;
  std::vector<std::byte> codes_;
  SafetensorsWriter* writer_ = nullptr;
};

}  // namespace

std::vector<std::string> quantize(const Checkpoint& checkpoint, const QuantizeOptions& options,
                                  const std::filesystem::path& folder, const Progress& progress) {
  const ConfigFile& file = checkpoint.config_file();
  Json config = native_config_json(file.model, file.dtype);
  Json quantization = quantization_json(options, file.model.tied_head);
  if (!quantization.is_null()) {
    config["quantization_config"] = std::move(quantization);
    config["zaya_cpp"] = {{"stepped_scales", true}};
  }
  Quantizer quantizer(checkpoint, options, progress);
  OutputFolder out(folder);
  quantizer.write(out);
  out.copy_texts(checkpoint.folder());
  write_file(out.staging() / "config.json", config.dump(2) + "\n");
  out.commit();
  return conversion_notes(checkpoint, Layout::native);
}

}  // namespace zaya
