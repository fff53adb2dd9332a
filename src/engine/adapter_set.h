#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "model/model.h"
#include "zaya/request.h"

namespace zaya {

/// The adapters of one model that requests may name. From any thread.
class AdapterSet {
 public:
  /// Reads an adapter from its folder (AdapterFile). Throws Error as that does, and for a name that
  /// is empty or taken; then nothing has changed.
  void load(const Model& model, const std::string& name, const std::filesystem::path& folder);

  /// Takes an adapter out of the set; it lives on with whoever holds it. Throws Error when there is
  /// none of that name.
  std::shared_ptr<const Adapter> unload(const std::string& name);

  /// Null for an empty name. Throws Error when there is none of that name.
  std::shared_ptr<const Adapter> find(const std::string& name) const;

  bool holds(const Adapter* adapter) const;

  /// In the order of their names.
  std::vector<AdapterInfo> list() const;

 private:
  struct Entry {
    std::filesystem::path folder;
    std::shared_ptr<const Adapter> adapter;
  };

  void require_new(const std::string& name) const;
  const Entry& at(const std::string& name) const;

  mutable std::mutex lock_;
  std::map<std::string, Entry> entries_;
};

}  // namespace zaya
