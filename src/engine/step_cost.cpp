#include "engine/step_cost.h"

#include <algorithm>
#include <initializer_list>

namespace zaya {
namespace {

/// Sums up one step.
class Tally {
 public:
  explicit Tally(Compute compute) : compute_(compute) {}

  const StepCost& cost() const { return cost_; }

  void read(const Vector& v) {
    cost_.weight_bytes += static_cast<double>(v.size() * sizeof(float));
  }
  void read(std::initializer_list<const Vector*> vectors) {
    for (const Vector* v : vectors) read(*v);
  }

  /// Some rows of a table, looked up.
  void look_up(const Matrix& matrix, std::size_t rows) {
    cost_.weight_bytes += static_cast<double>(stored_bytes(matrix.view(), 1) * rows);
  }

  /// A matrix times `rows` rows.
  void multiply(const WeightView& view, InputKind input, std::size_t rows) {
    if (rows == 0) return;
    cost_.weight_bytes += static_cast<double>(stored_bytes(view, view.rows));
    operate(view.rows * view.cols, input, rows);
  }
  void multiply(const Matrix& matrix, std::size_t rows) {
    multiply(matrix.view(), matrix.input(), rows);
  }
  void multiply(const Linear& linear, std::size_t rows) {
    multiply(linear.weight, rows);
    if (rows != 0) read(linear.bias);
  }

  /// `weights` multiply-adds for each of `rows` rows.
  void operate(std::size_t weights, InputKind input, std::size_t rows) {
    operations_of(input) += 2 * static_cast<double>(weights) * static_cast<double>(rows);
  }

  /// Products of activations.
  void attend(double operations) {
    operations_of(compute_ == Compute::f32 ? InputKind::f32 : InputKind::bf16) += operations;
  }

  void state(std::size_t bytes) { cost_.state_bytes += static_cast<double>(bytes); }

 private:
  double& operations_of(InputKind kind) {
    switch (kind) {
      case InputKind::f32:
        return cost_.f32_operations;
      case InputKind::wide:  // more than one product in bf16, but at least that
      case InputKind::bf16:
        break;
      case InputKind::int16:
        return cost_.int16_operations;
      case InputKind::int8:
        return cost_.int8_operations;
    }
    return cost_.bf16_operations;
  }

  Compute compute_;
  StepCost cost_;
};

void add_scales(Tally& tally, const ResidualScale& s) {
  tally.read({&s.hidden_scale, &s.hidden_bias, &s.residual_scale, &s.residual_bias});
}

void add_weights(Tally& tally, const AttentionWeights& w, std::size_t rows) {
  for (const Linear* linear : {&w.q, &w.k, &w.v_current, &w.v_delayed, &w.o}) {
    tally.multiply(*linear, rows);
  }
  tally.multiply(w.grouped, rows);
  for (const Vector& tap : w.depthwise) tally.read(tap);
  tally.read({&w.depthwise_bias, &w.grouped_bias, &w.temp});
}

void add_weights(Tally& tally, const RouterWeights& w, std::size_t rows) {
  for (const Linear* linear : {&w.down, &w.fc1, &w.fc2, &w.out}) tally.multiply(*linear, rows);
  tally.read({&w.eda_scale, &w.norm, &w.balancing});
}

/// Scores and weighted values of every token with all that it sees, and what is read for them.
void add_attention(Tally& tally, const Model& model, std::size_t layer, const StepPart& part) {
  const ModelConfig& config = model.config();
  const std::size_t end = part.position + part.tokens;
  const bool slides = config.sliding[layer];
  double seen = 0;
  for (std::size_t t = part.position; t < end; ++t) {
    seen += static_cast<double>(slides ? std::min(t + 1, config.window) : t + 1);
  }
  tally.attend(4 * seen * static_cast<double>(config.q_width()));
  const std::size_t positions = slides ? std::min(end, config.window + part.tokens - 1) : end;
  tally.state(positions * model.layout().page_bytes(layer) / StateLayout::kPageTokens);
}

/// The whole head; or its screen, and the rows that are recomputed for each of the inputs.
void add_head(Tally& tally, const Model& model, std::size_t head_rows, std::size_t inputs) {
  const Linear& head = model.weights().head;
  const HeadScreen& screen = model.head_screen();
  if (head_rows >= head.weight.rows()) return tally.multiply(head, inputs);
  tally.multiply(screen.view(), InputKind::int8, inputs);
  tally.look_up(head.weight, head_rows * inputs);
  tally.operate(head_rows * head.weight.cols(), head.weight.input(), inputs);
}

}  // namespace

StepCost& StepCost::operator+=(const StepCost& other) {
  weight_bytes += other.weight_bytes;
  state_bytes += other.state_bytes;
  f32_operations += other.f32_operations;
  bf16_operations += other.bf16_operations;
  int8_operations += other.int8_operations;
  int16_operations += other.int16_operations;
  return *this;
}

ExpertUse::ExpertUse(const ModelConfig& config)
    : experts_(config.experts), rows_(config.layers * config.experts) {}

void ExpertUse::clear() {
  std::fill(rows_.begin(), rows_.end(), 0);
}

void ExpertUse::values(std::string_view name, std::size_t layer, Rows<const float> data,
                       std::size_t rows, std::size_t /*width*/) {
  if (name != "mlp.gate.2") return;  // the class of each row
  for (std::size_t r = 0; r < rows; ++r) {
    const auto choice = static_cast<std::size_t>(*data.row(r));
    if (choice < experts_) add(layer, choice, 1);  // else it skips the experts
  }
}

StepCost step_cost(const Model& model, std::span<const StepPart> parts, const ExpertUse& use,
                   std::size_t head_rows) {
  const ModelWeights& w = model.weights();
  std::size_t rows = 0;
  std::size_t logits = 0;
  for (const StepPart& part : parts) {
    rows += part.tokens;
    logits += part.logits;
  }
  Tally tally(model.compute());
  tally.look_up(w.embedding, rows);
  tally.read({&w.input_scale, &w.input_bias, &w.final_norm});
  for (std::size_t i = 0; i < w.layers.size(); ++i) {
    const LayerWeights& layer = w.layers[i];
    tally.read({&layer.attention_norm, &layer.mlp_norm});
    add_weights(tally, layer.attention, rows);
    add_weights(tally, layer.router, rows);
    for (std::size_t e = 0; e < layer.experts.size(); ++e) {
      tally.multiply(layer.experts[e].gate_up, use.rows(i, e));
      tally.multiply(layer.experts[e].down, use.rows(i, e));
    }
    add_scales(tally, layer.after_attention);
    add_scales(tally, layer.after_mlp);
    for (const StepPart& part : parts) add_attention(tally, model, i, part);
  }
  add_head(tally, model, head_rows, logits);
  tally.state(parts.size() * model.layout().bytes_per_sequence());
  return tally.cost();
}

}  // namespace zaya
