#pragma once

#include <array>
#include <string>
#include <string_view>

namespace zaya {

/// What a tensor does; the matrices of one role are quantised alike.
enum class Role {
  experts,    ///< gate, up and down projections
  attention,  ///< query, key, both value and output projections
  router,     ///< linear layers of the router
  embed,      ///< the embedding; also the head, where that is tied
  head,       ///< a head of its own
  other,      ///< norms, scales, biases, convolutions, temperatures
};
inline constexpr std::array<Role, 6> kRoles{Role::experts, Role::attention, Role::router,
                                            Role::embed,   Role::head,      Role::other};

std::string_view role_name(Role role);
/// By native name, of a stack of experts too.
Role role_of(const std::string& name);

}  // namespace zaya
