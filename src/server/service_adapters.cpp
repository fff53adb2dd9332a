#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "server/service.h"

namespace zaya {
namespace {

namespace fs = std::filesystem;

std::string required_string(const Fields& f, const char* key) {
  f.at(key);
  return *f.string(key);
}

// Where `path` leads, from `root` on and not out of it. A caller may learn nothing of other
// folders.
fs::path folder_within(const std::string& root, const std::string& path) {
  std::error_code error;
  const fs::path base = fs::canonical(root, error);
  fs::path target = error ? fs::path() : fs::canonical(base / path, error);
  const auto [end, ignored] = std::mismatch(base.begin(), base.end(), target.begin(), target.end());
  if (!error && end == base.end() && target != base) return target;
  throw ApiError({.message = "'lora_path': there is no such folder below the one for adapters",
                  .param = "lora_path",
                  .code = "invalid_value"});
}

void check_allowed(const ServiceOptions& options) {
  if (!options.adapter_folder.empty()) return;
  throw ApiError({.status = 403,
                  .message = "this server was not told of a folder with adapters that callers may "
                             "load (--adapter-folder)"});
}

}  // namespace

bool Service::is_adapter(const std::string& name) const {
  const auto all = engine_.adapters();
  return std::any_of(all.begin(), all.end(), [&](const AdapterInfo& a) { return a.name == name; });
}

std::string Service::adapter_of(const std::string& model) const {
  const auto& names = options_.model_names;
  if (model.empty() || std::find(names.begin(), names.end(), model) != names.end()) return {};
  if (is_adapter(model)) return model;
  throw ApiError({.status = 404,
                  .message = fmt::format("the model '{}' does not exist here; there is '{}'", model,
                                         names.front()),
                  .param = "model",
                  .code = "model_not_found"});
}

Json Service::model_json(const std::string& name) const {
  const bool adapter = is_adapter(name);
  return {{"id", name},
          {"object", "model"},
          {"created", created_},
          {"owned_by", "zaya"},
          {"root", adapter ? name : options_.model_names.front()},
          {"parent", adapter ? Json(options_.model_names.front()) : Json(nullptr)},
          {"max_model_len", engine_.text().context},
          {"rsa", true}};
}

void Service::models(const std::shared_ptr<Exchange>& exchange) {
  Json list = Json::array();
  for (const std::string& name : options_.model_names) list.push_back(model_json(name));
  for (const AdapterInfo& adapter : engine_.adapters()) list.push_back(model_json(adapter.name));
  exchange->respond({.body = to_wire({{"object", "list"}, {"data", std::move(list)}})});
}

void Service::model(const std::shared_ptr<Exchange>& exchange) {
  const std::string name = exchange->request().path.substr(std::string_view("/v1/models/").size());
  adapter_of(name);
  exchange->respond({.body = to_wire(model_json(name))});
}

void Service::load_adapter(const std::shared_ptr<Exchange>& exchange) {
  check_allowed(options_);
  const Json body = parse_body(exchange->request().body);
  const Fields f(body);
  const std::string name = required_string(f, "lora_name");
  const std::string path = required_string(f, "lora_path");
  const auto& names = options_.model_names;
  if (name.empty() || is_adapter(name) ||
      std::find(names.begin(), names.end(), name) != names.end()) {
    f.fail("lora_name", "a name that is not taken");
  }
  engine_.load_adapter(name, folder_within(options_.adapter_folder, path).string());
  exchange->respond({.body = to_wire(model_json(name))});
}

void Service::unload_adapter(const std::shared_ptr<Exchange>& exchange) {
  check_allowed(options_);
  const Json body = parse_body(exchange->request().body);
  const std::string name = required_string(Fields(body), "lora_name");
  if (!is_adapter(name)) {
    throw ApiError({.status = 404,
                    .message = fmt::format("there is no adapter '{}'", name),
                    .param = "lora_name",
                    .code = "model_not_found"});
  }
  engine_.unload_adapter(name);
  exchange->respond({.body = to_wire({{"id", name}, {"object", "model"}, {"deleted", true}})});
}

}  // namespace zaya
