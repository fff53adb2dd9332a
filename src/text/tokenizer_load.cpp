#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <simdjson.h>

#include "base/file.h"
#include "text/tokenizer.h"
#include "text/utf8.h"
#include "zaya/error.h"

// simdjson and not base/json.h: the file of a large vocabulary is 33 MB with three million strings.

namespace zaya {
namespace {

namespace dom = simdjson::dom;

std::string type_name(dom::element value) {
  switch (value.type()) {
    case dom::element_type::ARRAY:
      return "an array";
    case dom::element_type::OBJECT:
      return "an object";
    case dom::element_type::STRING:
      return "a string";
    case dom::element_type::BOOL:
      return "a boolean";
    case dom::element_type::NULL_VALUE:
      return "null";
    default:
      return fmt::format("{}", simdjson::minify(value));
  }
}

// As much of a string as an error message bears, on one line.
std::string in_quotes(std::string_view text) {
  constexpr std::size_t kShown = 60;
  std::string result = "\"";
  for (const char c : replace_invalid_utf8(text.substr(0, kShown))) {
    if (static_cast<unsigned char>(c) < 0x20) {
      result += fmt::format("\\u{:04x}", c);
    } else {
      result += c;
    }
  }
  return result + (text.size() > kShown ? "...\"" : "\"");
}

/// A value of the file together with its path in it ("model.vocab"), for error messages.
class Node {
 public:
  Node(dom::element value, std::string path, const std::string& file)
      : value_(value), path_(std::move(path)), file_(&file) {}

  dom::element value() const { return value_; }

  /// Missing and null are the same.
  std::optional<Node> find(const char* key) const {
    dom::element child;
    if (object()[key].get(child) != simdjson::SUCCESS || child.is_null()) return std::nullopt;
    return Node(child, path_.empty() ? key : path_ + "." + key, *file_);
  }
  Node at(const char* key) const {
    if (auto child = find(key)) return *child;
    throw Error({.where = where(), .what = fmt::format("key \"{}\" is missing", key)});
  }
  Node item(dom::element value, std::size_t index) const {
    return {value, fmt::format("{}[{}]", path_, index), *file_};
  }

  dom::object object() const { return get<dom::object>("an object"); }
  dom::array array() const { return get<dom::array>("an array"); }
  bool boolean() const { return get<bool>("a boolean"); }
  std::int64_t integer() const { return get<std::int64_t>("an integer"); }
  std::string_view string() const { return get<std::string_view>("a string"); }
  std::vector<Node> items() const {
    std::vector<Node> nodes;
    for (const dom::element value : array()) nodes.push_back(item(value, nodes.size()));
    return nodes;
  }
  bool boolean(const char* key, bool fallback) const {
    const auto child = find(key);
    return child ? child->boolean() : fallback;
  }
  /// An object's "type".
  std::string_view kind() const { return at("type").string(); }

  std::string where() const {
    return path_.empty() ? *file_ : fmt::format("{}: {}", *file_, path_);
  }
  [[noreturn]] void fail(std::string expected) const {
    std::string_view text;
    throw Error(
        {.where = where(),
         .what = "unexpected value",
         .expected = std::move(expected),
         .found = value_.get(text) == simdjson::SUCCESS ? in_quotes(text) : type_name(value_)});
  }
  [[noreturn]] void unsupported(std::string supported) const {
    throw Error({.where = where(),
                 .what = fmt::format("type {} is not supported", in_quotes(kind())),
                 .expected = std::move(supported)});
  }
  /// For options whose only supported value is "off".
  void require_empty(const char* key) const {
    const auto child = find(key);
    std::string_view text;
    if (!child || (child->value_.get(text) == simdjson::SUCCESS && text.empty())) return;
    child->fail("null (nothing else is supported)");
  }

 private:
  template <typename T>
  T get(const char* expected) const {
    T result;
    if (value_.get(result) != simdjson::SUCCESS) fail(expected);
    return result;
  }

  dom::element value_;
  std::string path_;
  const std::string* file_;
};

// {"String": "..."}: the only kind of pattern that is supported.
std::string string_pattern(const Node& owner) {
  const Node pattern = owner.at("pattern");
  if (!pattern.find("String")) pattern.fail("an object with the key \"String\"");
  const Node text = pattern.at("String");
  if (text.string().empty()) text.fail("a string that is not empty");
  return std::string(text.string());
}

Replacement read_replacement(const Node& node) {
  return {string_pattern(node), std::string(node.at("content").string())};
}

// A step, or with {"type": "Sequence", LIST: [...]} all its steps.
std::vector<Node> steps_of(const Node& node, const char* list) {
  if (node.kind() == "Sequence") return node.at(list).items();
  return {node};
}

[[noreturn]] void fail_count(const std::string& where, const char* things, std::size_t limit,
                             std::size_t found) {
  throw Error({.where = where,
               .what = fmt::format("too many {}", things),
               .expected = fmt::format("at most {}", limit),
               .found = fmt::format("{}", found)});
}

// Tokens for which memory is asked ahead while the vocabulary is read.
constexpr int kPrefetched = 16;

// Merges whose tokens are looked up together.
struct MergeBatch {
  static constexpr std::size_t kMax = 64;

  void add(std::string_view left, std::string_view right, std::size_t index) {
    joined[size].assign(left).append(right);
    indices[size] = index;
    texts[3 * size] = left;
    texts[3 * size + 1] = right;
    texts[3 * size + 2] = joined[size];
    ++size;
  }

  std::size_t size = 0;
  std::array<std::size_t, kMax> indices{};  // in model.merges
  std::array<std::string, kMax> joined;
  std::array<std::string_view, 3 * kMax> texts;  // left, right, joined
  std::array<TokenId, 3 * kMax> ids{};
};

}  // namespace

class TokenizerLoader {
 public:
  TokenizerLoader(dom::element root, const std::string& file) : root_(root, "", file) {}

  Tokenizer load() {
    if (const auto node = root_.find("normalizer")) read_normalizer(*node);
    if (const auto node = root_.find("pre_tokenizer")) read_pre_tokenizer(*node);
    read_decoder(root_.at("decoder"));
    read_model(root_.at("model"));
    if (const auto node = root_.find("added_tokens")) read_added_tokens(*node);
    if (const auto node = root_.find("post_processor")) read_post_processor(*node);
    return std::move(result_);
  }

 private:
  void read_normalizer(const Node& node) {
    for (const Node& step : steps_of(node, "normalizers")) {
      if (step.kind() != "Replace") step.unsupported("Replace, or a Sequence of it");
      result_.normalizer_.push_back(read_replacement(step));
    }
  }

  void read_pre_tokenizer(const Node& node) {
    static constexpr std::array<std::pair<std::string_view, Split::Behavior>, 5> kBehaviors = {{
        {"Removed", Split::Behavior::removed},
        {"Isolated", Split::Behavior::isolated},
        {"MergedWithPrevious", Split::Behavior::merged_with_previous},
        {"MergedWithNext", Split::Behavior::merged_with_next},
        {"Contiguous", Split::Behavior::contiguous},
    }};
    for (const Node& step : steps_of(node, "pretokenizers")) {
      if (step.kind() != "Split") step.unsupported("Split, or a Sequence of it");
      const Node behavior = step.at("behavior");
      const auto* found =
          std::find_if(kBehaviors.begin(), kBehaviors.end(),
                       [&](const auto& entry) { return entry.first == behavior.string(); });
      if (found == kBehaviors.end()) {
        behavior.fail("Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
      }
      result_.splits_.push_back({string_pattern(step), found->second, step.at("invert").boolean()});
    }
  }

  // Replace steps, then ByteFallback, then Fuse, then Strip, each of which may be missing: the
  // orders in which text can be given out while tokens still arrive.
  void read_decoder(const Node& node) {
    Tokenizer::Decoder& decoder = result_.decoder_;
    bool fused = false;
    const auto in_order = [](const Node& step, bool ok) {
      if (!ok) step.unsupported("the order Replace, ByteFallback, Fuse, Strip");
    };
    for (const Node& step : steps_of(node, "decoders")) {
      const std::string_view kind = step.kind();
      if (kind == "Replace") {
        in_order(step, !decoder.byte_fallback && !fused);
        decoder.replacements.push_back(read_replacement(step));
      } else if (kind == "ByteFallback") {
        in_order(step, !fused);
        decoder.byte_fallback = true;
      } else if (kind == "Fuse") {
        fused = true;
      } else if (kind == "Strip") {
        in_order(step, fused && decoder.strip_count == 0);
        read_strip(step);
      } else {
        step.unsupported("Replace, ByteFallback, Fuse or Strip, or a Sequence of them");
      }
    }
  }

  void read_strip(const Node& node) {
    const Node content = node.at("content");
    std::size_t end = 0;
    if (content.string().empty()) content.fail("one character");
    result_.decoder_.strip = next_code_point(content.string(), end);
    if (end != content.string().size()) content.fail("one character");
    const Node start = node.at("start");
    if (start.integer() < 0) start.fail("a number that is not negative");
    result_.decoder_.strip_count = static_cast<std::size_t>(start.integer());
    if (node.at("stop").integer() != 0) node.at("stop").fail("0 (nothing else is supported)");
  }

  void read_model(const Node& model) {
    if (model.kind() != "BPE") model.unsupported("BPE");
    if (const auto dropout = model.find("dropout")) {
      double value = 0;
      if (dropout->value().get(value) != simdjson::SUCCESS || value != 0) {
        dropout->fail("null (nothing else is supported)");
      }
    }
    model.require_empty("continuing_subword_prefix");
    model.require_empty("end_of_word_suffix");
    read_vocabulary(model.at("vocab"));

    Bpe::Options options;
    if (const auto unknown = model.find("unk_token")) {
      options.unknown = result_.vocabulary_.find(unknown->string());
      if (options.unknown == Vocabulary::kNone) unknown->fail("a token of model.vocab");
    }
    options.byte_fallback = model.boolean("byte_fallback", false);
    options.fuse_unknown = model.boolean("fuse_unk", false);
    options.ignore_merges = model.boolean("ignore_merges", false);
    result_.bpe_ = Bpe(result_.vocabulary_, options);
    read_merges(model.at("merges"));
  }

  void read_vocabulary(const Node& node) {
    const dom::object entries = node.object();
    if (entries.size() > Vocabulary::kIdLimit) {
      fail_count(node.where(), "tokens", Vocabulary::kIdLimit, entries.size());
    }
    std::size_t bytes = 0;
    for (const auto entry : entries) bytes += entry.key.size();
    result_.vocabulary_.reserve(entries.size(), bytes);
    auto ahead = entries.begin();
    for (int i = 0; i < kPrefetched && ahead != entries.end(); ++i) ++ahead;
    for (const auto entry : entries) {
      if (ahead != entries.end()) {
        result_.vocabulary_.prefetch(ahead.key());
        ++ahead;
      }
      std::int64_t id = 0;
      if (entry.value.get(id) != simdjson::SUCCESS) id = -1;
      add_token(node, entry.key, id);
    }
  }

  void add_token(const Node& node, std::string_view text, std::int64_t id) {
    const auto fail = [&](std::string what, std::string expected = {}) {
      throw Error({.where = node.where(),
                   .what = fmt::format("token {} {}", in_quotes(text), what),
                   .expected = std::move(expected)});
    };
    if (text.empty()) fail("is empty");
    if (id < 0 || id >= Vocabulary::kIdLimit) {
      fail("has no usable id", fmt::format("an integer from 0 to {}", Vocabulary::kIdLimit - 1));
    }
    const auto token = static_cast<TokenId>(id);
    switch (result_.vocabulary_.add(text, token)) {
      case Vocabulary::Added::done:
        break;
      case Vocabulary::Added::text_taken:
        fail("occurs twice");
        break;
      case Vocabulary::Added::id_taken:
        fail(fmt::format("has id {}, which {} has too", token,
                         in_quotes(result_.vocabulary_.text(token))));
        break;
    }
  }

  void read_merges(const Node& node) {
    const dom::array merges = node.array();
    if (merges.size() > Bpe::kMaxMerges) {
      fail_count(node.where(), "merges", Bpe::kMaxMerges, merges.size());
    }
    result_.bpe_.reserve_merges(merges.size());
    MergeBatch batch;
    std::size_t index = 0;
    for (const dom::element merge : merges) {
      if (batch.size == MergeBatch::kMax) add_merges(node, batch);
      std::string_view left;
      std::string_view right;
      if (!split_merge(merge, left, right)) {
        node.item(merge, index).fail("\"LEFT RIGHT\" or [\"LEFT\", \"RIGHT\"]");
      }
      // Files made from the old merges.txt may still have its first line, "#version: 0.2".
      if (!left.starts_with("#version") || !merge.is_string()) batch.add(left, right, index);
      ++index;
    }
    add_merges(node, batch);
  }

  void add_merges(const Node& node, MergeBatch& batch) {
    result_.vocabulary_.find_all({batch.texts.data(), 3 * batch.size}, batch.ids);
    std::array<Bpe::Merge, MergeBatch::kMax> merges;
    for (std::size_t i = 0; i < batch.size; ++i) {
      for (std::size_t part = 3 * i; part < 3 * i + 3; ++part) {
        if (batch.ids[part] != Vocabulary::kNone) continue;
        throw Error(
            {.where = fmt::format("{}[{}]", node.where(), batch.indices[i]),
             .what = fmt::format("{} is no token of model.vocab", in_quotes(batch.texts[part]))});
      }
      merges[i] = {batch.ids[3 * i], batch.ids[3 * i + 1], batch.ids[3 * i + 2], batch.texts[3 * i],
                   batch.texts[3 * i + 1]};
    }
    result_.bpe_.add_merges({merges.data(), batch.size});
    batch.size = 0;
  }

  // Both spellings of a merge.
  static bool split_merge(dom::element merge, std::string_view& left, std::string_view& right) {
    if (merge.get(left) == simdjson::SUCCESS) {
      const std::size_t space = left.find(' ');
      if (space == std::string_view::npos) return false;
      right = left.substr(space + 1);
      left = left.substr(0, space);
      return right.find(' ') == std::string_view::npos;
    }
    dom::array pair;
    if (merge.get(pair) != simdjson::SUCCESS || pair.size() != 2) return false;
    return pair.at(0).get(left) == simdjson::SUCCESS && pair.at(1).get(right) == simdjson::SUCCESS;
  }

  void read_added_tokens(const Node& node) {
    for (const Node& item : node.items()) {
      AddedToken token;
      token.content = item.at("content").string();
      token.special = item.at("special").boolean();
      token.normalized = item.at("normalized").boolean();
      token.lstrip = item.at("lstrip").boolean();
      token.rstrip = item.at("rstrip").boolean();
      token.single_word = item.at("single_word").boolean();
      const std::int64_t id = item.at("id").integer();
      const TokenId known = result_.vocabulary_.find(token.content);
      if (known == Vocabulary::kNone) {
        add_token(item, token.content, id);
      } else if (known != id) {
        item.at("id").fail(fmt::format("{}, the id of {} so far", known, in_quotes(token.content)));
      }
      token.id = static_cast<TokenId>(id);
      result_.added_.push_back(std::move(token));
    }
    result_.special_.resize(static_cast<std::size_t>(result_.vocabulary_.size()));
    std::size_t total = 0;
    for (std::size_t i = 0; i < result_.added_.size(); ++i) {
      const AddedToken& token = result_.added_[i];
      if (token.special) result_.special_[token.id] = true;
      const std::string pattern =
          token.normalized ? apply_all(result_.normalizer_, token.content) : token.content;
      total += pattern.size();
      if (pattern.size() > AddedTokenFinder::kMaxPattern) {
        fail_count(fmt::format("{}[{}]", node.where(), i), "bytes in one added token",
                   AddedTokenFinder::kMaxPattern, pattern.size());
      }
      if (total > AddedTokenFinder::kMaxTotal) {
        fail_count(node.where(), "bytes in added tokens", AddedTokenFinder::kMaxTotal, total);
      }
      // A token that the normaliser makes empty cannot occur.
      if (pattern.empty()) continue;
      (token.normalized ? result_.normalized_finder_ : result_.raw_finder_).add(pattern, &token);
    }
  }

  void read_post_processor(const Node& node) {
    if (node.kind() != "TemplateProcessing") node.unsupported("TemplateProcessing");
    const Node single = node.at("single");
    bool seen_text = false;
    for (const Node& piece : single.items()) {
      if (const auto token = piece.find("SpecialToken")) {
        add_special(node.at("special_tokens"), token->at("id"),
                    seen_text ? result_.suffix_ : result_.prefix_);
      } else if (seen_text || piece.at("Sequence").at("id").string() != "A") {
        piece.fail("SpecialToken, or once the Sequence \"A\"");
      } else {
        seen_text = true;
      }
    }
    if (!seen_text) single.fail("the Sequence \"A\" among its items");
  }

  void add_special(const Node& table, const Node& name, std::vector<TokenId>& ids) {
    const std::string key(name.string());
    const auto entry = table.find(key.c_str());
    if (!entry) name.fail("a key of special_tokens");
    for (const Node& item : entry->at("ids").items()) {
      const std::int64_t id = item.integer();
      if (id < 0 || id >= result_.vocabulary_.size() ||
          !result_.vocabulary_.contains(static_cast<TokenId>(id))) {
        item.fail("the id of a token");
      }
      ids.push_back(static_cast<TokenId>(id));
    }
  }

  Node root_;
  Tokenizer result_;
};

Tokenizer Tokenizer::load(const std::filesystem::path& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string());
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& where) {
  if (json.size() > kMaxBytes) {
    throw Error({.where = where,
                 .what = "file is too large",
                 .expected = fmt::format("at most {} bytes", kMaxBytes),
                 .found = fmt::format("{}", json.size())});
  }
  dom::parser parser;
  dom::element root;
  const simdjson::error_code error = parser.parse(json.data(), json.size()).get(root);
  if (error != simdjson::SUCCESS) {
    throw Error({.where = where,
                 .what = fmt::format("is not valid JSON ({})", simdjson::error_message(error))});
  }
  return TokenizerLoader(root, where).load();
}

}  // namespace zaya
