#include "checkpoint/adapter_config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <re2/re2.h>

#include "checkpoint/tensor.h"
#include "zaya/error.h"

namespace zaya {
namespace {

constexpr double kMaxAlpha = 1e9;
// Of rank_pattern and alpha_pattern each; PEFT writes one a module at most.
constexpr std::size_t kMaxPatterns = 4096;
constexpr std::size_t kMaxPattern = 4096;  // characters
constexpr std::int64_t kMaxLayer = 1 << 14;

/// A regular expression of Python's that RE2 knows too; matched in time linear in the text,
/// whatever a hostile file asks for.
std::unique_ptr<RE2> compile(const JsonView& view, std::string_view key,
                             const std::string& pattern) {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);
  if (pattern.size() <= kMaxPattern) {
    auto compiled = std::make_unique<RE2>(pattern, options);
    if (compiled->ok()) return compiled;
  }
  throw Error({.where = view.where(),
               .what = fmt::format("'{}' has a pattern that is not understood", key),
               .expected = "a regular expression without look-around or back-references",
               .found = shown_name(pattern)});
}

/// Modules by a list of names, each the whole or the end of a module's, or by a regular expression.
struct Modules {
  std::set<std::string, std::less<>> names;
  std::unique_ptr<RE2> pattern;

  bool has(std::string_view module) const {
    if (pattern != nullptr) return RE2::FullMatch({module.data(), module.size()}, *pattern);
    for (std::size_t at = 0;;) {
      if (names.find(module.substr(at)) != names.end()) return true;
      at = module.find('.', at);
      if (at++ == std::string_view::npos) return false;
    }
  }
};

/// Values for single modules, by regular expressions for the ends of their names; the first that
/// matches counts.
struct Overrides {
  std::vector<std::pair<std::unique_ptr<RE2>, double>> patterns;

  double of(std::string_view module, double otherwise) const {
    for (const auto& [pattern, value] : patterns) {
      if (RE2::FullMatch({module.data(), module.size()}, *pattern)) return value;
    }
    return otherwise;
  }
};

/// The number after "layers." in a module's name.
std::optional<std::int64_t> layer_of(std::string_view module) {
  constexpr std::string_view kLayers = "layers.";
  const auto at = module.find(kLayers);
  if (at == std::string_view::npos) return std::nullopt;
  std::int64_t layer = 0;
  const char* first = module.data() + at + kLayers.size();
  const auto [end, error] = std::from_chars(first, module.data() + module.size(), layer);
  if (error != std::errc{} || end == first) return std::nullopt;
  return layer;
}

bool is_set(const JsonView& view, const char* key) {
  const Json* value = view.find(key);
  return value != nullptr && *value != false && !value->empty();
}

}  // namespace

struct AdapterConfig::Parts {
  std::size_t rank = 0;
  double alpha = 0;
  bool rank_stabilized = false;
  bool targets_unsaid = false;
  Modules targets;
  Modules excluded;
  std::optional<std::set<std::int64_t>> layers;
  Overrides ranks;
  Overrides alphas;
};

namespace {

class Reader {
 public:
  explicit Reader(const JsonView& view) : view_(view) {}

  void refuse_other_kinds() const {
    if (view_.string("peft_type") != "LORA") view_.fail("peft_type", "'LORA'");
    const std::pair<const char*, const char*> unsupported[] = {
        {"use_dora", "false: DoRA is not supported"},
        {"use_qalora", "false: QALoRA is not supported"},
        {"lora_bias", "false: trained biases are not supported"},
        {"alora_invocation_tokens", "nothing: activated LoRA is not supported"},
        {"arrow_config", "nothing: Arrow is not supported"},
        {"layer_replication", "nothing: a model of other layers is not supported"},
        {"modules_to_save", "nothing: modules trained in full are not supported"},
        {"trainable_token_indices", "nothing: trained embeddings are not supported"},
        {"target_parameters", "nothing: only the q, k, v and o projections can be adapted"},
    };
    for (const auto& [key, expected] : unsupported) {
      if (is_set(view_, key)) view_.fail(key, expected);
    }
    if (view_.string("bias", "none") != "none") {
      view_.fail("bias", "'none': trained biases are not supported");
    }
    // Those that are left out here subtract the initial A and B from the base model's weights.
    const Json* initial = view_.find("init_lora_weights");
    if (initial != nullptr && !initial->is_boolean() && *initial != "gaussian" &&
        *initial != "eva" && *initial != "orthogonal") {
      view_.fail("init_lora_weights",
                 "true, false, 'gaussian', 'eva' or 'orthogonal': an adapter to another base model "
                 "must be converted to plain LoRA when it is saved");
    }
  }

  Modules modules(const char* key) const {
    Modules out;
    const Json* value = view_.find(key);
    if (value == nullptr) return out;
    if (value->is_string()) {
      out.pattern = compile(view_, key, value->get<std::string>());
      return out;
    }
    const char* expected = "a list of module names, or a regular expression";
    if (!value->is_array()) view_.fail(key, expected);
    for (const Json& item : *value) {
      if (!item.is_string()) view_.fail(key, expected);
      out.names.insert(item.get<std::string>());
    }
    return out;
  }

  std::optional<std::set<std::int64_t>> layers() const {
    check_layers_pattern();
    const Json* value = view_.find("layers_to_transform");
    if (value == nullptr || (value->is_array() && value->empty())) return std::nullopt;
    if (view_.has("target_modules") && view_.at("target_modules").is_string()) {
      view_.fail("layers_to_transform", "nothing beside a 'target_modules' that is a pattern");
    }
    if (!value->is_array()) {
      return std::set{view_.integer("layers_to_transform", 0, kMaxLayer)};
    }
    const auto list = view_.integers("layers_to_transform", 0, kMaxLayer);
    return std::set(list.begin(), list.end());
  }

  Overrides overrides(const char* key, double least, double most, bool whole) const {
    Overrides out;
    const Json* value = view_.find(key);
    if (value == nullptr) return out;
    const JsonView entries = view_.object(key);
    if (value->size() > kMaxPatterns) {
      view_.fail(key, fmt::format("at most {} patterns", kMaxPatterns));
    }
    for (const auto& [pattern, item] : value->items()) {
      const double number = entries.number(pattern);
      if (number < least || number > most || (whole && number != std::floor(number))) {
        entries.fail(pattern, fmt::format("{} from {} to {}", whole ? "an integer" : "a number",
                                          least, most));
      }
      out.patterns.emplace_back(compile(view_, key, "(?:.*\\.)?(?:" + pattern + ")"), number);
    }
    return out;
  }

 private:
  /// Where the layers' list is called otherwise, there are none of ours.
  void check_layers_pattern() const {
    const Json* value = view_.find("layers_pattern");
    if (value == nullptr || value->empty() || *value == "layers") return;
    if (*value == Json::array({"layers"})) return;
    view_.fail("layers_pattern", "'layers'");
  }

  const JsonView& view_;
};

}  // namespace

AdapterConfig AdapterConfig::parse(const Json& json, const std::string& where) {
  const JsonView view(json, where);
  const Reader reader(view);
  reader.refuse_other_kinds();
  auto parts = std::make_unique<Parts>();
  parts->rank = static_cast<std::size_t>(view.integer("r", 1, kMaxRank));
  parts->alpha = view.number("lora_alpha");
  if (std::abs(parts->alpha) > kMaxAlpha) {
    view.fail("lora_alpha", fmt::format("a number from {} to {}", -kMaxAlpha, kMaxAlpha));
  }
  parts->rank_stabilized = view.boolean("use_rslora", false);
  parts->targets_unsaid = !view.has("target_modules") || view.at("target_modules") == "all-linear";
  if (!parts->targets_unsaid) parts->targets = reader.modules("target_modules");
  parts->excluded = reader.modules("exclude_modules");
  parts->layers = reader.layers();
  parts->ranks = reader.overrides("rank_pattern", 1, kMaxRank, true);
  parts->alphas = reader.overrides("alpha_pattern", -kMaxAlpha, kMaxAlpha, false);
  return AdapterConfig(std::move(parts));
}

AdapterConfig::AdapterConfig(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
AdapterConfig::AdapterConfig(AdapterConfig&&) noexcept = default;
AdapterConfig& AdapterConfig::operator=(AdapterConfig&&) noexcept = default;
AdapterConfig::~AdapterConfig() = default;

AdapterConfig::Target AdapterConfig::target(std::string_view module) const {
  if (parts_->excluded.has(module)) return Target::no;
  if (parts_->layers) {
    const auto layer = layer_of(module);
    if (!layer || !parts_->layers->contains(*layer)) return Target::no;
  }
  if (parts_->targets_unsaid) return Target::unsaid;
  return parts_->targets.has(module) ? Target::yes : Target::no;
}

std::size_t AdapterConfig::rank(std::string_view module) const {
  return static_cast<std::size_t>(parts_->ranks.of(module, static_cast<double>(parts_->rank)));
}

double AdapterConfig::scale(std::string_view module) const {
  const auto r = static_cast<double>(rank(module));
  return parts_->alphas.of(module, parts_->alpha) / (parts_->rank_stabilized ? std::sqrt(r) : r);
}

}  // namespace zaya
