#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "text/grammar/schema_writer.h"
#include "text/utf8.h"

// The parts of SchemaWriter for values that hold others.

namespace zaya::grammar {
namespace {

constexpr std::size_t kMostSteps = 50'000;

const Json* find(const Json& schema, const char* key) {
  const auto it = schema.find(key);
  return it == schema.end() ? nullptr : &*it;
}

}  // namespace

// None when no object can satisfy the form.
std::optional<SchemaWriter::Object> SchemaWriter::object_of(const SchemaForms::Form& form) {
  Object object;
  const std::string& path = object.path = form.path;
  std::vector<std::string> required;
  if (const Json* names = find(form.schema, "required"); names != nullptr && !names->is_boolean()) {
    if (!names->is_array()) forms_.fail(path + "/required", "must be a list of names");
    for (const Json& name : *names) {
      if (!name.is_string()) forms_.fail(path + "/required", "must be a list of names");
      required.push_back(name.get<std::string>());
    }
  }
  const std::set<std::string> needed(required.begin(), required.end());
  const Json* properties = find(form.schema, "properties");
  if (properties != nullptr && !properties->is_object()) {
    forms_.fail(path + "/properties", "must be an object");
  }
  const Json* additional = find(form.schema, "additionalProperties");
  const Json any = true;
  const Json& other = additional != nullptr ? *additional : any;

  std::set<std::string> named;
  const auto add = [&](const std::string& name, const Json& schema, const std::string& at) {
    const bool is_needed = needed.contains(name);
    named.insert(name);
    object.names.push_back(name);
    if (impossible(schema, at)) return !is_needed;
    object.properties.push_back({Json(name).dump(), value(schema, at), is_needed});
    return true;
  };
  if (properties != nullptr) {
    for (const auto& [name, schema] : properties->items()) {
      if (!add(name, schema, path + "/properties/" + name)) return {};
    }
  }
  for (const std::string& name : required) {
    if (named.contains(name)) continue;
    if (!add(name, other, path + "/additionalProperties")) return {};
  }
  // Names that nobody mentions are for schemas that mention none, or ask for them.
  const bool open = additional != nullptr || (properties == nullptr && required.empty());
  if (open && !impossible(other, path + "/additionalProperties")) {
    object.others = value(other, path + "/additionalProperties");
  }
  if (const Json* names = find(form.schema, "propertyNames")) {
    if (!object.names.empty()) {
      forms_.refuse(path + "/propertyNames", "beside named properties this is not supported");
    } else if (object.others) {
      Json keys;
      keys["allOf"] = Json::array({*names, Json{{"type", "string"}}});
      object.keys = value(keys, path + "/propertyNames");
    }
  }
  object.min = count(form, "minProperties", 0);
  object.max = count(form, "maxProperties", Loop::kUnbounded);
  // A key may come twice and count once, so two that are not named cannot be asked for.
  if (object.others && object.min > needed.size() + 1) {
    forms_.refuse(path + "/minProperties", "more than one property without a name is asked for");
    object.min = needed.size() + 1;
  }
  return object;
}

void SchemaWriter::write_object(const SchemaForms::Form& form) {
  auto object = object_of(form);
  if (!object) return builder_.fail();
  const bool free =
      object->properties.empty() && !object->keys && object->others == value(true, "");
  if (free && object->min == 0 && object->max == Loop::kUnbounded) {
    return builder_.call(rules_.object());
  }
  if (object->others && !object->keys) {
    // A rule of its own, which is called from more than one place.
    const Pc over = builder_.emit(Op::jump);
    object->keys = builder_.declare();
    builder_.begin(*object->keys);
    rules_.write_other_key(object->names);
    builder_.end();
    builder_.aim(over, builder_.here());
  }
  builder_.byte('{');
  write_members(*object);
  builder_.byte('}');
}

// A graph of places: before property i, with so many members written (counted only as far as it
// matters). A property that is not required may be passed over.
void SchemaWriter::write_members(const Object& object) {
  const std::size_t n = object.properties.size();
  const bool bounded = object.max < n || (object.others && object.max != Loop::kUnbounded);
  const std::size_t most =
      bounded ? object.max : std::max<std::size_t>(1, std::min(object.min, n + 1));
  if ((n + 1) * (most + 1) > kMostSteps) {
    forms_.fail(object.path, fmt::format("too many properties to count up to {} of them", most));
  }
  const auto after = [&](std::size_t members) { return std::min(members + 1, most); };
  std::vector<std::pair<Pc, std::size_t>> jumps;  // to places
  std::vector<Pc> places((n + 1) * (most + 1));
  std::vector<Pc> ends;
  const auto go = [&](std::size_t property, std::size_t members) {
    jumps.emplace_back(builder_.emit(Op::jump), property * (most + 1) + members);
  };
  const auto separator = [&](std::size_t members) {
    if (members > 0) builder_.byte(',');
    rules_.gap();
  };
  const auto value_of = [&](Builder::Rule rule) {
    builder_.byte(':');
    rules_.gap();
    builder_.call(rule);
  };
  for (std::size_t i = 0; i <= n; ++i) {
    for (std::size_t members = 0; members <= most; ++members) {
      places[i * (most + 1) + members] = builder_.here();
      const bool room = !bounded || members < object.max;
      const Pc split = builder_.emit_split(2);
      builder_.aim_split(split, 0, builder_.here());
      if (i < n) {
        const Property& property = object.properties[i];
        if (room) {
          separator(members);
          builder_.literal(property.key);
          value_of(property.value);
          go(i + 1, after(members));
        } else {
          builder_.fail();
        }
        builder_.aim_split(split, 1, builder_.here());
        if (property.required) {
          builder_.fail();
        } else {
          go(i + 1, members);
        }
        continue;
      }
      if (object.others && room) {
        separator(members);
        builder_.call(*object.keys);
        value_of(*object.others);
        go(n, after(members));
      } else {
        builder_.fail();
      }
      builder_.aim_split(split, 1, builder_.here());
      if (members >= object.min) {
        if (members > 0) rules_.gap();
        ends.push_back(builder_.emit(Op::jump));
      } else {
        builder_.fail();
      }
    }
  }
  for (const auto& [jump, place] : jumps) builder_.aim(jump, places[place]);
  for (const Pc jump : ends) builder_.aim(jump, builder_.here());
}

void SchemaWriter::write_array(const SchemaForms::Form& form) {
  const std::string& path = form.path;
  const std::uint32_t min = count(form, "minItems", 0);
  const std::uint32_t max = count(form, "maxItems", Loop::kUnbounded);
  const Json* prefix = find(form.schema, "prefixItems");
  const Json* items = find(form.schema, "items");
  const char* items_key = "/items";
  if (items != nullptr && items->is_array()) {  // up to draft 2019-09
    prefix = items;
    items = find(form.schema, "additionalItems");
    items_key = "/additionalItems";
  }
  std::vector<Builder::Rule> first;
  bool ends = false;  // at an element that cannot be
  if (prefix != nullptr) {
    if (!prefix->is_array()) forms_.fail(path + "/prefixItems", "must be a list of schemas");
    for (std::size_t i = 0; i < prefix->size() && i < max && !ends; ++i) {
      const std::string at = fmt::format("{}/prefixItems/{}", path, i);
      ends = impossible((*prefix)[i], at);
      if (!ends) first.push_back(value((*prefix)[i], at));
    }
  }
  // After named positions, others come only where the schema speaks of them or asks for more.
  const Json any = true;
  const Json& other = items != nullptr ? *items : any;
  const bool open = items != nullptr || prefix == nullptr || min > first.size();
  std::optional<Builder::Rule> rest;
  if (!ends && open && first.size() < max && !impossible(other, path + items_key)) {
    rest = value(other, path + items_key);
  }
  if (min > max || (!rest && min > first.size())) return builder_.fail();

  const auto element = [&](bool more, Builder::Rule rule) {
    if (more) builder_.byte(',');
    rules_.gap();
    builder_.call(rule);
  };
  builder_.byte('[');
  std::vector<Pc> empty;
  std::vector<Pc> closes;
  for (std::size_t i = 0; i < first.size(); ++i) {
    if (i >= min) {
      const Pc split = builder_.emit_split(2);
      builder_.aim_split(split, 0, builder_.here());
      (i == 0 ? empty : closes).push_back(builder_.emit(Op::jump));
      builder_.aim_split(split, 1, builder_.here());
    }
    element(i > 0, first[i]);
  }
  const auto written = static_cast<std::uint32_t>(first.size());
  const auto less = [&](std::uint32_t limit, std::uint32_t n) {
    return limit == Loop::kUnbounded ? limit : limit - std::min(limit, n);
  };
  const auto more = [&](std::uint32_t n) {
    builder_.repeat(min - std::min(min, n), less(max, n), PlainText::none,
                    [&] { element(true, *rest); });
  };
  if (rest && written > 0) {
    more(written);
  } else if (rest) {
    if (min == 0) {
      const Pc split = builder_.emit_split(2);
      builder_.aim_split(split, 0, builder_.here());
      empty.push_back(builder_.emit(Op::jump));
      builder_.aim_split(split, 1, builder_.here());
    }
    element(false, *rest);
    more(1);
  } else if (written == 0) {
    empty.push_back(builder_.emit(Op::jump));
  }
  for (const Pc jump : closes) builder_.aim(jump, builder_.here());
  rules_.gap();
  for (const Pc jump : empty) builder_.aim(jump, builder_.here());
  builder_.byte(']');
}

}  // namespace zaya::grammar
