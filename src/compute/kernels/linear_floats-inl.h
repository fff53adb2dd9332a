// Products of float inputs with weights of any format, over the vector type V and the kernels of
// vector-inl.h, after which it belongs. Formats without a kernel of their own are expanded to
// floats, a few rows at a time, in scratch memory that stays in the cache.

constexpr std::size_t kExpandRows = 8;

std::size_t float_bytes(InputKind, std::size_t rows, std::size_t depth) {
  return rows * depth * sizeof(float);
}

void pack_floats(InputKind kind, Rows<const float> x, const std::uint32_t* index, std::size_t,
                 std::size_t first, std::size_t last, std::size_t depth, std::byte* out) {
  for (std::size_t r = first; r < last; ++r) {
    const float* from = x.row(index == nullptr ? r : index[r]);
    float* to = reinterpret_cast<float*>(out) + r * depth;
    if (kind != InputKind::bf16) {
      for (std::size_t i = 0; i < depth; ++i) to[i] = from[i];
      continue;
    }
    for (std::size_t i = 0; i < depth; ++i) {
      std::uint32_t u = 0;
      __builtin_memcpy(&u, from + i, sizeof(u));
      const std::uint32_t nearest = u + 0x7fffU + ((u >> 16U) & 1U);
      const std::uint32_t rounded = (from[i] != from[i] ? u : nearest) & 0xffff0000U;
      __builtin_memcpy(to + i, &rounded, sizeof(u));
    }
  }
}

/// A row of weights as floats.
void expand(const WeightView& w, std::size_t r, float* out) {
  if (w.code == WeightCode::f32 || w.code == WeightCode::bf16) {
    const auto copy = [&](const auto* row) {
      for (std::size_t c = 0; c < w.cols; c += kLanes) {
        const std::size_t n = w.cols - c < kLanes ? w.cols - c : kLanes;
        V::store_some(out + c, V::load_some(row + c, n), n);
      }
    };
    const std::byte* row = w.data + r * w.row_bytes;
    if (w.code == WeightCode::f32) return copy(reinterpret_cast<const float*>(row));
    return copy(reinterpret_cast<const bf16*>(row));
  }
  const float* values = byte_values(w.code);
  const std::byte* row = w.data + r * w.row_bytes;
  const std::size_t each = code_bits(w.code) == 4 ? 2 : 1;  // codes in a byte
  for (std::size_t c = 0; c < w.cols;) {
    const float scale = scale_of(w, r, c);
    const std::size_t group = (c / w.scale_cols + 1) * w.scale_cols;
    const std::size_t end = w.scale_code != ScaleCode::none && group < w.cols ? group : w.cols;
    const V::Float s = V::set(scale);
    for (; c + kLanes <= end; c += kLanes) {
      V::store(
          out + c,
          V::mul(each == 2 ? V::lookup_pairs(values, row + c / 2) : V::lookup(values, row + c), s));
    }
    for (; c < end; ++c) {
      const auto byte = static_cast<std::size_t>(row[c / each]);
      out[c] = values[byte * each + c % each] * scale;
    }
  }
}

void multiply_floats(const WeightView& w, std::size_t first, std::size_t last, InputKind,
                     const PackedRows& inputs, Rows<float> all, std::byte* scratch) {
  const Rows<const float> x{reinterpret_cast<const float*>(inputs.data) + inputs.begin * w.cols,
                            w.cols};
  const Rows<float> y{all.row(inputs.begin), all.stride};
  const std::size_t rows = inputs.end - inputs.begin;
  const std::byte* data = w.data + first * w.row_bytes;
  if (w.code == WeightCode::f32) {
    return matmul<float>({reinterpret_cast<const float*>(data), w.cols}, x, y, rows, last - first,
                         w.cols);
  }
  if (w.code == WeightCode::bf16) {
    return matmul<bf16>({reinterpret_cast<const bf16*>(data), w.cols}, x, y, rows, last - first,
                        w.cols);
  }
  auto* expanded = reinterpret_cast<float*>(scratch);
  for (std::size_t n = first; n < last; n += kExpandRows) {
    const std::size_t count = last - n < kExpandRows ? last - n : kExpandRows;
    for (std::size_t j = 0; j < count; ++j) expand(w, n + j, expanded + j * w.cols);
    matmul<float>({expanded, w.cols}, x, {y.data + (n - first), y.stride}, rows, count, w.cols);
  }
}

std::size_t float_scratch_bytes(const WeightView& w, InputKind, std::size_t) {
  return kExpandRows * w.cols * sizeof(float);
}

constexpr LinearKernels kFloats = {float_bytes, pack_floats, float_scratch_bytes, multiply_floats};
