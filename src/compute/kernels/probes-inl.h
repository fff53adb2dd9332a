// The reading probe over a vector type R, for each instruction set: the file that includes this
// defines, in an anonymous namespace, struct R with Vector, bytes, zero, load, add (64-bit lanes),
// sum (over lanes) and prefetch. It belongs inside that namespace.

/// Eight sums hide the latency of an addition; each stream has its share of them.
template <int streams>
inline std::uint64_t read_streams(const std::byte* data, std::size_t bytes, std::size_t ahead) {
  constexpr int kSums = 8;
  constexpr int kEach = kSums / streams;
  constexpr std::size_t kLine = 64;
  const std::size_t part = bytes / streams;
  typename R::Vector sum[kSums];
  for (auto& s : sum) s = R::zero();
  for (std::size_t i = 0; i < part; i += kEach * R::bytes) {
    for (int s = 0; s < streams; ++s) {
      const std::byte* p = data + s * part + i;
      if (ahead != 0) {
        for (std::size_t line = 0; line < kEach * R::bytes; line += kLine) {
          R::prefetch(p + ahead + line);
        }
      }
      for (int j = 0; j < kEach; ++j) {
        sum[s * kEach + j] = R::add(sum[s * kEach + j], R::load(p + j * R::bytes));
      }
    }
  }
  for (int i = 1; i < kSums; ++i) sum[0] = R::add(sum[0], sum[i]);
  return R::sum(sum[0]);
}

std::uint64_t read(const std::byte* data, std::size_t bytes, int streams, std::size_t ahead) {
  switch (streams) {
    case 4:
      return read_streams<4>(data, bytes, ahead);
    case 8:
      return read_streams<8>(data, bytes, ahead);
    default:
      return read_streams<1>(data, bytes, ahead);
  }
}
