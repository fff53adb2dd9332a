#include "engine/adapter_set.h"

#include <algorithm>
#include <utility>

#include "checkpoint/tensor.h"
#include "zaya/error.h"

namespace zaya {

void AdapterSet::require_new(const std::string& name) const {
  if (name.empty()) throw Error({.where = "adapter", .what = "it needs a name"});
  if (entries_.contains(name)) {
    throw Error({.where = "adapter " + shown_name(name), .what = "is loaded already"});
  }
}

const AdapterSet::Entry& AdapterSet::at(const std::string& name) const {
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) {
    throw Error({.where = "adapter " + shown_name(name), .what = "is not loaded"});
  }
  return entry->second;
}

void AdapterSet::load(const Model& model, const std::string& name,
                      const std::filesystem::path& folder) {
  {
    const std::lock_guard lock(lock_);
    require_new(name);
  }
  // Files are slow: requests go on meanwhile.
  auto adapter = std::make_shared<const Adapter>(model.load_adapter(folder));
  const std::lock_guard lock(lock_);
  require_new(name);
  entries_.emplace(name, Entry{folder, std::move(adapter)});
}

std::shared_ptr<const Adapter> AdapterSet::unload(const std::string& name) {
  const std::lock_guard lock(lock_);
  std::shared_ptr<const Adapter> adapter = at(name).adapter;
  entries_.erase(name);
  return adapter;
}

std::shared_ptr<const Adapter> AdapterSet::find(const std::string& name) const {
  if (name.empty()) return nullptr;
  const std::lock_guard lock(lock_);
  return at(name).adapter;
}

bool AdapterSet::holds(const Adapter* adapter) const {
  const std::lock_guard lock(lock_);
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const auto& entry) { return entry.second.adapter.get() == adapter; });
}

std::vector<AdapterInfo> AdapterSet::list() const {
  const std::lock_guard lock(lock_);
  std::vector<AdapterInfo> out;
  for (const auto& [name, entry] : entries_) out.push_back({name, entry.folder.string()});
  return out;
}

}  // namespace zaya
