#include "checkpoint/roles.h"

namespace zaya {

std::string_view role_name(Role role) {
  switch (role) {
    case Role::experts:
      return "experts";
    case Role::attention:
      return "attention";
    case Role::router:
      return "router";
    case Role::embed:
      return "embed";
    case Role::head:
      return "head";
    case Role::other:
      return "other";
  }
  return "other";
}

Role role_of(const std::string& name) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string::npos; };
  if (name == "model.embed_tokens.weight") return Role::embed;
  if (name == "lm_head.weight") return Role::head;
  if (has(".mlp.experts.")) return name.ends_with("_bias") ? Role::other : Role::experts;
  if (!name.ends_with(".weight") || has("norm")) return Role::other;
  if (has(".mlp.gate.")) return Role::router;
  if (has(".self_attn.") && !has(".conv_qk_")) return Role::attention;
  return Role::other;
}

}  // namespace zaya
