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
/// longest prefix with given tokens, at any token, in a radix tree for each adapter; the least
/// recently used go first. Kept sequences share pages with each other and with whoever was forked
/// from them.
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
  std::optional<Hit> find(std::span<const TokenId> tokens, const Adapter* adapter = nullptr);

  /// K and V of the first tokens that sequences of other adapters, or of none, have the same: in
  /// the layers below the first whose K and V either adapter changes. The choice that saves most
  /// beyond the first `have` tokens; without tokens when there is nothing to save.
  KnownPrefix find_known(std::span<const TokenId> tokens, const Adapter* adapter, std::size_t have);

  /// Keeps a sequence, in place of one with the same tokens.
  void insert(Sequence sequence);

  /// Lets the least recently used sequence go. False when there is none.
  bool evict();
  /// Lets all sequences of an adapter go.
  void drop(const Adapter* adapter);

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
  /// The deepest node that shares tokens with those given, and how many.
  struct Place {
    Node* node;
    std::size_t length;
  };
  template <class Visit>
  static Place descend(Node& root, std::span<const TokenId> tokens, Visit&& visit);
  Node* split(Node* child, std::size_t at);
  void remove(Node* node);
  void erase(Entries::iterator entry);

  std::size_t most_entries_;
  std::size_t replay_tokens_;
  Entries entries_;
  std::map<const Adapter*, Node> roots_;  // an entry keeps its adapter alive
};

}  // namespace zaya
