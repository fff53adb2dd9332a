#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "cache/sequence.h"
#include "zaya/token.h"

namespace zaya {

/// Sequences that are kept because another may begin like them. Finds the one that shares the
/// longest prefix with given tokens, at any token, in a radix tree; the least recently used go
/// first. Kept sequences share pages with each other and with whoever was forked from them.
class PrefixCache {
 public:
  /// `replay_tokens` (StateLayout): what rolling back costs, in tokens.
  PrefixCache(std::size_t most_entries, std::size_t replay_tokens);
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;
  ~PrefixCache();

  /// A fork of a kept sequence whose first `common` tokens are those given. Its owner rolls it back
  /// to that length, if it is longer.
  struct Hit {
    Sequence sequence;
    std::size_t common;
  };
  /// The longest common prefix, or one so little shorter that it costs less: one that ends where a
  /// kept sequence does needs no roll-back. Nothing when there is nothing to save.
  std::optional<Hit> find(std::span<const TokenId> tokens);

  /// Keeps a sequence, in place of one with the same tokens.
  void insert(Sequence sequence);

  /// Lets the least recently used sequence go. False when there is none.
  bool evict();

  std::size_t size() const { return entries_.size(); }

 private:
  struct Node;
  struct Entry {
    Sequence sequence;
    Node* node;
  };
  using Entries = std::list<Entry>;  // most recently used first

  /// The tokens between a node's parent and itself, and what goes on from there. Every leaf has an
  /// entry.
  struct Node {
    Node* parent = nullptr;
    std::vector<TokenId> edge;
    std::map<TokenId, std::unique_ptr<Node>> children;
    std::optional<Entries::iterator> entry;
  };

  static const Node* usable_below(const Node* node, std::size_t length);
  Node* split(Node* child, std::size_t at);
  void remove(Node* node);

  std::size_t most_entries_;
  std::size_t replay_tokens_;
  Entries entries_;
  Node root_;
};

}  // namespace zaya
