#include "cache/prefix_cache.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "model/adapter.h"

namespace zaya {
namespace {

/// How many tokens two runs share from their begin.
std::size_t shared(std::span<const TokenId> a, std::span<const TokenId> b) {
  const auto ends = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<std::size_t>(ends.first - a.begin());
}

std::size_t first_changed_kv(const Adapter* adapter) {
  return adapter != nullptr ? adapter->first_changed_kv() : std::numeric_limits<std::size_t>::max();
}

}  // namespace

PrefixCache::PrefixCache(std::size_t most_entries, std::size_t replay_tokens)
    : most_entries_(most_entries), replay_tokens_(replay_tokens) {}

PrefixCache::~PrefixCache() {
  while (evict()) {
  }
}

/// Calls visit(node, length) for every node on the way whose tokens are all a prefix of those
/// given.
template <class Visit>
PrefixCache::Place PrefixCache::descend(Node& root, std::span<const TokenId> tokens,
                                        Visit&& visit) {
  Place at{&root, 0};
  while (at.length < tokens.size()) {
    const auto child = at.node->children.find(tokens[at.length]);
    if (child == at.node->children.end()) break;
    at.node = child->second.get();
    const std::size_t same = shared(at.node->edge, tokens.subspan(at.length));
    at.length += same;
    if (same < at.node->edge.size()) break;
    visit(at.node, at.length);
  }
  return at;
}

std::optional<PrefixCache::Hit> PrefixCache::find(std::span<const TokenId> tokens,
                                                  const Adapter* adapter) {
  const auto root = roots_.find(adapter);
  if (root == roots_.end()) return std::nullopt;
  Node* whole = nullptr;  // the deepest with an entry that is a prefix of the tokens
  std::size_t whole_length = 0;
  auto [node, length] = descend(root->second, tokens, [&](Node* at, std::size_t so_far) {
    if (!at->entry) return;
    whole = at;
    whole_length = so_far;
  });
  if (length == 0) return std::nullopt;
  if (whole_length != 0 && length - whole_length <= replay_tokens_) {
    node = whole;
    length = whole_length;
  } else if (length <= replay_tokens_) {
    return std::nullopt;  // to roll back to so little is to compute all of it
  }
  // Whatever lies below shares as much; a sliding window may have let go of what lies before.
  const Node* found = usable_below(node, length);
  if (found == nullptr) {
    if (whole_length == 0) return std::nullopt;
    found = whole;
    length = whole_length;
  }
  const auto entry = *found->entry;
  entries_.splice(entries_.begin(), entries_, entry);
  return Hit{entry->sequence.fork(), length};
}

/// The first node at or below `node` whose sequence can be rolled back to `length`; null: none.
const PrefixCache::Node* PrefixCache::usable_below(const Node* node, std::size_t length) {
  if (node->entry && (*node->entry)->sequence.can_roll_back(length)) return node;
  for (const auto& [token, child] : node->children) {
    if (const Node* found = usable_below(child.get(), length)) return found;
  }
  return nullptr;
}

KnownPrefix PrefixCache::find_known(std::span<const TokenId> tokens, const Adapter* adapter,
                                    std::size_t have) {
  constexpr std::size_t kPage = StateLayout::kPageTokens;
  std::size_t most = 0;  // pages saved
  KnownPrefix out;
  for (auto& [other, root] : roots_) {
    if (other == adapter) continue;
    const std::size_t layers = std::min(first_changed_kv(adapter), first_changed_kv(other));
    if (layers == 0) continue;
    auto [node, length] = descend(root, tokens, [](Node*, std::size_t) {});
    if (length / kPage <= have / kPage) continue;
    while (!node->entry) node = node->children.begin()->second.get();
    const auto entry = *node->entry;
    KnownPrefix prefix = entry->sequence.known_prefix(layers, length);
    std::size_t saved = 0;
    for (const auto& pages : prefix.pages)
      saved += pages.size() - std::min(pages.size(), have / kPage);
    if (saved <= most) continue;
    most = saved;
    out = std::move(prefix);
    entries_.splice(entries_.begin(), entries_, entry);
  }
  return out;
}

/// Puts a node into the edge above `child`, after its first `at` tokens.
PrefixCache::Node* PrefixCache::split(Node* child, std::size_t at) {
  Node* parent = child->parent;
  std::unique_ptr<Node>& place = parent->children.at(child->edge.front());
  auto middle = std::make_unique<Node>();
  middle->parent = parent;
  middle->edge.assign(child->edge.begin(), child->edge.begin() + static_cast<std::ptrdiff_t>(at));
  child->edge.erase(child->edge.begin(), child->edge.begin() + static_cast<std::ptrdiff_t>(at));
  child->parent = middle.get();
  const TokenId next = child->edge.front();
  middle->children.emplace(next, std::move(place));
  place = std::move(middle);
  return place.get();
}

void PrefixCache::insert(Sequence sequence) {
  if (most_entries_ == 0 || sequence.length() == 0) return;
  const std::span<const TokenId> tokens = sequence.tokens();
  Node* node = &roots_[sequence.adapter().get()];
  for (std::size_t length = 0; length < tokens.size();) {
    const auto found = node->children.find(tokens[length]);
    if (found == node->children.end()) {
      auto leaf = std::make_unique<Node>();
      leaf->parent = node;
      leaf->edge.assign(tokens.begin() + static_cast<std::ptrdiff_t>(length), tokens.end());
      node = node->children.emplace(tokens[length], std::move(leaf)).first->second.get();
      break;
    }
    node = found->second.get();
    const std::size_t same = shared(node->edge, tokens.subspan(length));
    length += same;
    if (same < node->edge.size()) node = split(node, same);
  }
  if (node->entry) entries_.erase(*node->entry);
  entries_.push_front({std::move(sequence), node});
  node->entry = entries_.begin();
  while (entries_.size() > most_entries_) evict();
}

/// Takes a node without an entry out of the tree, and what it leaves without use.
void PrefixCache::remove(Node* node) {
  while (node->parent != nullptr && !node->entry && node->children.empty()) {
    Node* parent = node->parent;
    parent->children.erase(node->edge.front());
    node = parent;
  }
  if (node->parent == nullptr || node->entry || node->children.size() != 1) return;
  // One way on: the child takes the node's place.
  std::unique_ptr<Node> child = std::move(node->children.begin()->second);
  child->edge.insert(child->edge.begin(), node->edge.begin(), node->edge.end());
  child->parent = node->parent;
  std::unique_ptr<Node>& place = node->parent->children.at(node->edge.front());
  place = std::move(child);
}

bool PrefixCache::evict() {
  if (entries_.empty()) return false;
  erase(std::prev(entries_.end()));
  return true;
}

void PrefixCache::erase(Entries::iterator entry) {
  const Adapter* adapter = entry->sequence.adapter().get();
  Node* node = entry->node;
  node->entry.reset();
  entries_.erase(entry);
  remove(node);
  // The adapter may be gone, and another come to lie where it was.
  if (roots_.at(adapter).children.empty()) roots_.erase(adapter);
}

void PrefixCache::drop(const Adapter* adapter) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    const auto entry = it++;
    if (entry->sequence.adapter().get() == adapter) erase(entry);
  }
}

}  // namespace zaya
