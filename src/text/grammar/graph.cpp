#include "text/grammar/graph.h"

#include <algorithm>
#include <map>
#include <utility>

namespace zaya::grammar {

std::optional<Graph> limit_length(const Graph& graph, LengthLimits limits, std::size_t most_nodes) {
  Graph result;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> known{{{0, 0}, 0}};
  std::vector<std::pair<std::uint32_t, std::uint32_t>> order{{0, 0}};
  const bool bounded = limits.max != Loop::kUnbounded;
  for (std::uint32_t at = 0; at < order.size(); ++at) {
    if (order.size() > most_nodes) return {};
    const auto [node, count] = order[at];
    result.nodes[at].end = graph.nodes[node].end && count >= limits.min;
    for (const Graph::Edge& edge : graph.nodes[node].edges) {
      std::uint32_t next = count;
      if (!edge.on.empty()) {
        if (bounded && count == limits.max) continue;
        next = bounded ? count + 1 : std::min(count + 1, limits.min);
      }
      const auto [it, added] = known.try_emplace({edge.to, next}, 0);
      if (added) {
        it->second = result.add_node();
        order.emplace_back(edge.to, next);
      }
      result.nodes[at].edges.push_back({edge.on, it->second});
    }
  }
  return result;
}

void write_graph(Builder& builder, const Graph& graph, Encoding encoding) {
  std::vector<Pc> begins(graph.nodes.size());
  std::vector<std::pair<Pc, std::uint32_t>> jumps;  // to nodes
  std::vector<Pc> ends;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const Graph::Node& node = graph.nodes[n];
    begins[n] = builder.here();
    const Pc split = builder.emit_split(node.edges.size() + (node.end ? 1 : 0));
    for (std::size_t e = 0; e < node.edges.size(); ++e) {
      builder.aim_split(split, e, builder.here());
      const Graph::Edge& edge = node.edges[e];
      if (!edge.on.empty()) write_character(builder, edge.on, encoding);
      jumps.emplace_back(builder.emit(Op::jump), edge.to);
    }
    if (node.end) {
      builder.aim_split(split, node.edges.size(), builder.here());
      ends.push_back(builder.emit(Op::jump));
    }
  }
  for (const auto& [jump, node] : jumps) builder.aim(jump, begins[node]);
  for (const Pc jump : ends) builder.aim(jump, builder.here());
}

}  // namespace zaya::grammar
