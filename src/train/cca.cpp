#include "train/cca.h"

#include <algorithm>
#include <cmath>

namespace zaya::train {

template <class T>
void Rotary<T>::fill(const RopeConfig& rope, std::size_t head_dim, std::size_t positions) {
  const auto rotary =
      static_cast<std::size_t>(static_cast<double>(head_dim) * rope.partial_rotary_factor);
  half = rotary / 2;
  if (cosine.size() >= positions * half) return;
  cosine.resize(positions * half);
  sine.resize(positions * half);
  for (std::size_t i = 0; i < half; ++i) {
    const auto frequency = static_cast<float>(
        std::pow(rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(rotary)));
    for (std::size_t p = 0; p < positions; ++p) {
      const float angle = static_cast<float>(p) * frequency;
      cosine[p * half + i] = std::cos(static_cast<T>(angle));
      sine[p * half + i] = std::sin(static_cast<T>(angle));
    }
  }
}

template <class T>
Cca<T>::Cca(const ModelConfig& config, std::size_t layer)
    : hidden_(config.hidden),
      shape_{config.heads, config.kv_heads, config.head_dim, config.heads / config.kv_heads,
             config.conv_width()},
      parts_(config.parts),
      no_bias_(config.conv_width()),
      q_width_(config.q_width()),
      kv_width_(config.kv_width()),
      width_(config.conv_width() + config.kv_width()),
      inward_{{{Projection::q, 0, q_width_},
               {Projection::k, q_width_, kv_width_},
               {Projection::v_current, config.conv_width(), kv_width_ / 2},
               {Projection::v_delayed, config.conv_width() + kv_width_ / 2, kv_width_ / 2}}},
      outward_{{{Projection::o, 0, config.hidden}}},
      attention_{shape_, config.sliding[layer] ? config.window : 0} {}

/// Of a head's normed vector: sqrt(d), times the temperature for a key.
template <class T>
T Cca<T>::length(const LayerTensors<const T>& w, std::size_t head) const {
  const T root = std::sqrt(static_cast<T>(shape_.dim));
  return head < shape_.heads ? root : root * w.temp[head - shape_.heads];
}

template <class T>
void Cca<T>::convolution_input(Context<T>& context, const LayerTensors<const T>& w,
                               const PackedBatch& batch, const CcaActivations<T>& a,
                               CcaScratch<T>& s) const {
  const std::size_t channels = shape_.channels;
  s.conv.resize(batch.rows() * 2 * channels);
  context.each_rows(batch.rows(), [&](std::size_t begin, std::size_t end) {
    batch.each_document(
        begin, end, [&](std::size_t first, std::size_t, std::size_t from, std::size_t to) {
          context.ops.depthwise(a.qkv.data() + first * width_, width_, w.depthwise,
                                w.depthwise_bias, s.conv.data() + first * 2 * channels, from, to,
                                channels);
        });
  });
}

/// Both convolutions and the means. Without the convolutions, q and k as they are in their place.
template <class T>
void Cca<T>::mix(Context<T>& context, const LayerTensors<const T>& w, const PackedBatch& batch,
                 CcaActivations<T>& a, CcaScratch<T>& s) const {
  const std::size_t rows = batch.rows();
  const std::size_t channels = shape_.channels;
  const std::size_t d = shape_.dim;
  a.mixed.resize(rows * channels);
  if (parts_.convolutions) convolution_input(context, w, batch, a, s);
  std::vector<Gemm<T>> grouped;
  for (std::size_t h = 0; h < shape_.heads + shape_.kv_heads; ++h) {
    grouped.push_back(linear<T>({s.conv.data() + h * 2 * d, 2 * channels},
                                w.grouped + h * d * 2 * d, {a.mixed.data() + h * d, channels}, rows,
                                2 * d, d));
  }
  if (parts_.convolutions) context.multiply(grouped);
  const T* bias = parts_.convolutions ? w.grouped_bias : no_bias_.data();
  context.each_rows(rows, [&](std::size_t begin, std::size_t end) {
    const T* z = a.qkv.data() + begin * width_;
    T* mixed = a.mixed.data() + begin * channels;
    if (!parts_.convolutions) {
      for (std::size_t i = 0; i < end - begin; ++i) {
        std::copy_n(z + i * width_, channels, mixed + i * channels);
      }
    }
    if (parts_.means) {
      context.ops.mix_heads(z, width_, bias, mixed, end - begin, shape_);
    } else {
      context.ops.add_bias(bias, mixed, end - begin, channels);
    }
  });
}

template <class T>
void Cca<T>::forward(Context<T>& context, const LayerTensors<const T>& w, const Rotary<T>& rotary,
                     const PackedBatch& batch, const T* n, T* out, CcaActivations<T>& a,
                     CcaScratch<T>& s) const {
  const std::size_t rows = batch.rows();
  const std::size_t channels = shape_.channels;
  const std::size_t d = shape_.dim;
  const std::size_t half = kv_width_ / 2;
  a.qkv.resize(rows * width_);
  const Gemm<T> project =
      linear<T>({n, hidden_}, w.qkv, {a.qkv.data(), width_}, rows, hidden_, width_);
  context.multiply({&project, 1});
  lora_forward(context, w.lora, inward_, {n, hidden_}, rows, hidden_, {a.qkv.data(), width_});
  mix(context, w, batch, a, s);

  a.query.resize(rows * q_width_);
  a.key.resize(rows * kv_width_);
  a.value.resize(rows * kv_width_);
  context.each_rows(rows, [&](std::size_t begin, std::size_t end) {
    batch.each_document(
        begin, end, [&](std::size_t first, std::size_t, std::size_t from, std::size_t to) {
          for (std::size_t t = from; t < to; ++t) {
            const std::size_t row = first + t;
            const T* cosine = rotary.cosine.data() + t * rotary.half;
            const T* sine = rotary.sine.data() + t * rotary.half;
            for (std::size_t h = 0; h < shape_.heads + shape_.kv_heads; ++h) {
              T* y = h < shape_.heads ? a.query.data() + query_at(rows, row, h)
                                      : a.key.data() + key_at(rows, row, h - shape_.heads);
              context.ops.norm_rotate(a.mixed.data() + row * channels + h * d, length(w, h), cosine,
                                      sine, rotary.half, y, d);
            }
            // v_t = [current_t ; delayed_{t-1}], cut into heads.
            const T* current = a.qkv.data() + row * width_ + channels;
            const T* delayed = current + half - (parts_.value_shift ? width_ : 0);
            const bool known = t > 0 || !parts_.value_shift;
            for (std::size_t i = 0; i < kv_width_; ++i) {
              a.value[key_at(rows, row, i / d) + i % d] = i < half ? current[i]
                                                          : known  ? delayed[i - half]
                                                                   : T{0};
            }
          }
        });
  });

  a.output.resize(rows * q_width_);
  a.log_sum.resize(rows * shape_.heads);
  attention_.forward(context, batch, a.query.data(), a.key.data(), a.value.data(), a.output.data(),
                     a.log_sum.data());
  a.joined.resize(rows * q_width_);
  context.each_rows(rows, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) {
      for (std::size_t h = 0; h < shape_.heads; ++h) {
        std::copy_n(a.output.data() + query_at(rows, row, h), d,
                    a.joined.data() + row * q_width_ + h * d);
      }
    }
  });
  const Gemm<T> merge =
      linear<T>({a.joined.data(), q_width_}, w.o, {out, hidden_}, rows, q_width_, hidden_);
  context.multiply({&merge, 1});
  lora_forward(context, w.lora, outward_, {a.joined.data(), q_width_}, rows, q_width_,
               {out, hidden_});
}

/// From dmixed: the gradients of both convolutions, and dqkv of q and k.
template <class T>
void Cca<T>::mix_backward(Context<T>& context, const LayerTensors<const T>& w,
                          const LayerTensors<T>& dw, const PackedBatch& batch,
                          const CcaActivations<T>& a, CcaScratch<T>& s) const {
  const std::size_t rows = batch.rows();
  const std::size_t channels = shape_.channels;
  const std::size_t d = shape_.dim;
  context.each_rows(rows, [&](std::size_t begin, std::size_t end) {
    const T* ds = s.dmixed.data() + begin * channels;
    T* dz = s.dqkv.data() + begin * width_;
    if (parts_.means) {
      context.ops.mix_heads_backward(ds, dz, width_, end - begin, shape_);
    } else {
      for (std::size_t i = 0; i < end - begin; ++i) std::fill_n(dz + i * width_, channels, T{0});
    }
    if (parts_.convolutions) return;
    for (std::size_t i = 0; i < end - begin; ++i) {
      context.ops.add_row(ds + i * channels, dz + i * width_, channels);
    }
  });
  if (!parts_.convolutions) return;
  convolution_input(context, w, batch, a, s);
  s.dconv.resize(rows * 2 * channels);
  std::vector<Gemm<T>> grouped;
  for (std::size_t h = 0; h < shape_.heads + shape_.kv_heads; ++h) {
    const Rows<const T> u{s.conv.data() + h * 2 * d, 2 * channels};
    const Rows<const T> ds{s.dmixed.data() + h * d, channels};
    const std::size_t at = h * d * 2 * d;
    grouped.push_back(linear_input<T>(
        ds, w.grouped + at, {s.dconv.data() + h * 2 * d, 2 * channels}, rows, 2 * d, d, false));
    grouped.push_back(linear_weight<T>(u, ds, part_of(dw.grouped, at), rows, 2 * d, d));
  }
  context.multiply(grouped);
  context.sum_rows(rows, channels, dw.grouped_bias,
                   [&](std::size_t begin, std::size_t end, T* sums) {
                     context.ops.add_bias_backward(s.dmixed.data() + begin * channels, sums,
                                                   end - begin, channels);
                   });
  std::vector<T> sums(3 * channels);
  context.sum_rows(
      rows, 3 * channels, sums.data(), [&](std::size_t begin, std::size_t end, T* out) {
        batch.each_document(
            begin, end,
            [&](std::size_t first, std::size_t length, std::size_t from, std::size_t to) {
              context.ops.depthwise_backward(a.qkv.data() + first * width_, width_, w.depthwise,
                                             s.dconv.data() + first * 2 * channels,
                                             s.dqkv.data() + first * width_, out, from, to, length,
                                             channels);
            });
      });
  if (dw.depthwise == nullptr) return;
  for (std::size_t c = 0; c < channels; ++c) {
    dw.depthwise[2 * c] += sums[c];
    dw.depthwise[2 * c + 1] += sums[channels + c];
    dw.depthwise_bias[c] += sums[2 * channels + c];
  }
}

template <class T>
void Cca<T>::backward(Context<T>& context, const LayerTensors<const T>& w,
                      const LayerTensors<T>& dw, const Rotary<T>& rotary, const PackedBatch& batch,
                      const T* n, const T* dout, T* dn, const CcaActivations<T>& a,
                      CcaScratch<T>& s) const {
  const std::size_t rows = batch.rows();
  const std::size_t channels = shape_.channels;
  const std::size_t d = shape_.dim;
  const std::size_t half = kv_width_ / 2;
  s.djoined.resize(rows * q_width_);
  const Gemm<T> outward[] = {linear_input<T>({dout, hidden_}, w.o, {s.djoined.data(), q_width_},
                                             rows, q_width_, hidden_, false),
                             linear_weight<T>({a.joined.data(), q_width_}, {dout, hidden_}, dw.o,
                                              rows, q_width_, hidden_)};
  context.multiply(outward);
  lora_backward(context, w.lora, dw.lora, outward_, {a.joined.data(), q_width_}, rows, q_width_,
                {dout, hidden_}, {s.djoined.data(), q_width_});
  s.doutput.resize(rows * q_width_);
  context.each_rows(rows, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) {
      for (std::size_t h = 0; h < shape_.heads; ++h) {
        std::copy_n(s.djoined.data() + row * q_width_ + h * d, d,
                    s.doutput.data() + query_at(rows, row, h));
      }
    }
  });
  s.dquery.resize(rows * q_width_);
  s.dkey.resize(rows * kv_width_);
  s.dvalue.resize(rows * kv_width_);
  attention_.backward(context, batch, a.query.data(), a.key.data(), a.value.data(), a.output.data(),
                      a.log_sum.data(), s.doutput.data(), s.dquery.data(), s.dkey.data(),
                      s.dvalue.data());

  s.dmixed.resize(rows * channels);
  s.dqkv.resize(rows * width_);
  const T root = std::sqrt(static_cast<T>(d));
  context.sum_rows(
      rows, shape_.kv_heads, dw.temp, [&](std::size_t begin, std::size_t end, T* dtemp) {
        batch.each_document(
            begin, end,
            [&](std::size_t first, std::size_t length_, std::size_t from, std::size_t to) {
              for (std::size_t t = from; t < to; ++t) {
                const std::size_t row = first + t;
                const T* cosine = rotary.cosine.data() + t * rotary.half;
                const T* sine = rotary.sine.data() + t * rotary.half;
                for (std::size_t h = 0; h < shape_.heads + shape_.kv_heads; ++h) {
                  const bool is_key = h >= shape_.heads;
                  T* dy = is_key ? s.dkey.data() + key_at(rows, row, h - shape_.heads)
                                 : s.dquery.data() + query_at(rows, row, h);
                  const std::size_t at = row * channels + h * d;
                  const T along = context.ops.norm_rotate_backward(
                      a.mixed.data() + at, length(w, h), cosine, sine, rotary.half, dy,
                      s.dmixed.data() + at, d);
                  if (is_key) dtemp[h - shape_.heads] += root * along;
                }
                // The delayed half of the value belongs to the row before.
                T* dv = s.dqkv.data() + row * width_ + channels;
                const std::size_t shift = parts_.value_shift ? 1 : 0;
                for (std::size_t i = 0; i < half; ++i) {
                  const std::size_t j = half + i;
                  dv[i] = s.dvalue[key_at(rows, row, i / d) + i % d];
                  dv[j] = t + shift < length_ ? s.dvalue[key_at(rows, row + shift, j / d) + j % d]
                                              : T{0};
                }
              }
            });
      });
  mix_backward(context, w, dw, batch, a, s);
  const Gemm<T> inward[] = {
      linear_input<T>({s.dqkv.data(), width_}, w.qkv, {dn, hidden_}, rows, hidden_, width_, false),
      linear_weight<T>({n, hidden_}, {s.dqkv.data(), width_}, dw.qkv, rows, hidden_, width_)};
  context.multiply(inward);
  lora_backward(context, w.lora, dw.lora, inward_, {n, hidden_}, rows, hidden_,
                {s.dqkv.data(), width_}, {dn, hidden_});
}

template struct Rotary<float>;
template struct Rotary<double>;
template class Cca<float>;
template class Cca<double>;

}  // namespace zaya::train
