// How products of integers choose a kernel, alike on AVX2 and AVX-512. To be included after Packed
// and Inputs in the anonymous namespace of an instruction set's file, which defines the kernels
// that are declared here.

/// Few inputs against 8-bit weights.
template <WeightCode code>
void multiply_few_bytes(const WeightView& w, std::size_t first, std::size_t last, const Inputs& x,
                        Rows<float> y);
/// X inputs against all rows of 4-bit weights.
template <int X>
void multiply_few_stepped(const WeightView& w, std::size_t first, std::size_t last, const Inputs& x,
                          Rows<float> y);
/// Rows [begin, end) of many, by panels of weights.
void multiply_many(const WeightView& w, std::size_t first, std::size_t last, const Inputs& x,
                   std::size_t begin, std::size_t end, Rows<float> y, std::byte* scratch);

std::size_t packed_bytes(InputKind kind, std::size_t rows, std::size_t depth) {
  return Packed(kind, rows, depth).bytes();
}

/// Rows [r, end) of inputs, as many as possible at a time: call.operator()<X>(row).
template <std::size_t X, class Call>
void in_groups(std::size_t r, std::size_t end, Call&& call) {
  for (; r + X <= end; r += X) call.template operator()<X>(r);
  if constexpr (X > 1) in_groups<X == 12 ? 8 : X == 6 ? 4 : X / 2>(r, end, call);
}

void multiply(const WeightView& w, std::size_t first, std::size_t last, InputKind kind,
              const PackedRows& packed, Rows<float> y, std::byte* scratch) {
  const Packed p(kind, packed.rows, w.cols);
  const Inputs x{packed.data, p};
  if (p.rows > kFewRows) {
    return multiply_many(w, first, last, x, packed.begin, packed.end, y, scratch);
  }
  if (w.code == WeightCode::u8) return multiply_few_bytes<WeightCode::u8>(w, first, last, x, y);
  if (w.code == WeightCode::i8) return multiply_few_bytes<WeightCode::i8>(w, first, last, x, y);
  switch (p.rows) {
    case 1:
      return multiply_few_stepped<1>(w, first, last, x, y);
    case 2:
      return multiply_few_stepped<2>(w, first, last, x, y);
    case 3:
      return multiply_few_stepped<3>(w, first, last, x, y);
    default:
      return multiply_few_stepped<4>(w, first, last, x, y);
  }
}
