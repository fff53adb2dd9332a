#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/ops.h"

namespace zaya::jinja {

/// namespace(): the one object a template can change.
struct Namespace : Object {
  std::string type_name() const override { return "jinja2.utils.Namespace"; }
  std::string repr() const override;
  std::optional<Value> attribute(std::string_view name) override;

  std::shared_ptr<Dict> attributes = std::make_shared<Dict>();
};

/// The functions every template can call: range, dict, namespace, cycler, joiner, raise_exception,
/// strftime_now. Nothing for another name.
std::optional<Value> find_global(std::string_view name);

}  // namespace zaya::jinja
