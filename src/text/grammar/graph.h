#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "text/grammar/char_set.h"

namespace zaya::grammar {

/// A regular language over characters, as a nondeterministic automaton. Node 0 is the start.
struct Graph {
  struct Edge {
    CharSet on;  ///< empty: the edge takes no character
    std::uint32_t to;
  };
  struct Node {
    std::vector<Edge> edges;
    bool end = false;
  };
  std::vector<Node> nodes = std::vector<Node>(1);

  std::uint32_t add_node() {
    nodes.emplace_back();
    return static_cast<std::uint32_t>(nodes.size() - 1);
  }
};

/// How many characters a text may have.
struct LengthLimits {
  std::uint32_t min = 0;
  std::uint32_t max = Loop::kUnbounded;
  bool none() const { return min == 0 && max == Loop::kUnbounded; }
};

/// The words of `graph` whose length is within `limits`. None when it would take more than
/// `most_nodes` nodes.
std::optional<Graph> limit_length(const Graph& graph, LengthLimits limits, std::size_t most_nodes);

/// Writes a word of the graph.
void write_graph(Builder& builder, const Graph& graph, Encoding encoding);

}  // namespace zaya::grammar
