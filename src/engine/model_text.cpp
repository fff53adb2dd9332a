#include "engine/model_text.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "engine/output_text.h"
#include "text/tools/call_opening.h"
#include "zaya/error.h"

namespace zaya {
namespace {

// ZAYA1 ends a turn with <|im_end|> and a document with <eos>. Its configs name now one, now the
// other; both always end an output.
constexpr std::array<TokenId, 2> kFamilyEos = {106, 1};
constexpr const char* kTurnEnd = "<|im_end|>";
constexpr const char* kTurnStart = "<|im_start|>";

// What ZAYA1's own template writes after reasoning.
std::string forced_close_text() {
  return fmt::format("\n{}\n\n", kThinkClose);
}

// tokenizer_config.json holds a special token as its text, or as an object with the text in it.
std::optional<TokenId> named_token(const Tokenizer& tokenizer, const Json& json, const char* key) {
  const auto it = json.find(key);
  if (it == json.end()) return {};
  if (it->is_string()) return tokenizer.find(it->get_ref<const std::string&>());
  if (!it->is_object()) return {};
  const auto content = it->find("content");
  if (content == it->end() || !content->is_string()) return {};
  return tokenizer.find(content->get_ref<const std::string&>());
}

void set_bos(ModelText& model, const Json& json, TokenId config_bos) {
  const Tokenizer& tokenizer = *model.tokenizer;
  const TokenId bos = named_token(tokenizer, json, "bos_token").value_or(config_bos);
  const auto around_nothing = tokenizer.encode("", true);
  bool wanted = !around_nothing.empty() && around_nothing.front() == bos;
  if (const auto it = json.find("add_bos_token"); it != json.end() && it->is_boolean()) {
    wanted = it->get<bool>();
  }
  if (wanted && tokenizer.contains(bos)) model.bos = bos;
}

void set_tags(ModelText& model) {
  const Tokenizer& tokenizer = *model.tokenizer;
  const auto open = tokenizer.find(kThinkOpen);
  const auto close = tokenizer.find(kThinkClose);
  if (open && close) {
    model.think_open = open;
    model.think_close = close;
  }
  for (const std::string_view tag :
       {kCallOpen, kCallClose, std::string_view("<zyphra_tool_response>"),
        std::string_view("</zyphra_tool_response>")}) {
    if (const auto id = tokenizer.find(tag)) model.call_tags.push_back(*id);
  }
  model.turn = tokenizer.find(kTurnStart);
  model.forced_close = tokenizer.encode(forced_close_text());
}

void set_eos(ModelText& model, const Json& tokenizer_config, const ModelConfig& config) {
  std::vector<TokenId>& eos = model.eos;
  eos = config.eos;
  eos.insert(eos.end(), model.generation.eos.begin(), model.generation.eos.end());
  for (const TokenId id : kFamilyEos) {
    if (!model.tokenizer || model.tokenizer->is_special(id)) eos.push_back(id);
  }
  if (model.tokenizer) {
    const auto add = [&](std::optional<TokenId> id) {
      if (id) eos.push_back(*id);
    };
    add(model.tokenizer->find(kTurnEnd));
    add(named_token(*model.tokenizer, tokenizer_config, "eos_token"));
  }
  std::sort(eos.begin(), eos.end());
  eos.erase(std::unique(eos.begin(), eos.end()), eos.end());
}

}  // namespace

ModelText load_model_text(const std::filesystem::path& folder, const ModelConfig& config,
                          bool use_generation_config) {
  ModelText model;
  model.vocab = config.vocab;
  model.context = config.max_positions;
  Json tokenizer_config = Json::object();
  if (const auto path = folder / "tokenizer.json"; std::filesystem::exists(path)) {
    model.tokenizer = std::make_shared<const Tokenizer>(Tokenizer::load(path));
    model.grammars = std::make_shared<grammar::Grammars>(model.tokenizer);
    model.vocab = std::min(model.vocab, static_cast<std::size_t>(model.tokenizer->vocab_size()));
    if (const auto file = folder / "tokenizer_config.json"; std::filesystem::exists(file)) {
      tokenizer_config = JsonView(read_json_file(file), file.string()).json();
    }
    set_bos(model, tokenizer_config, config.bos);
    set_tags(model);
  }
  if (use_generation_config) {
    model.generation = load_generation_config(folder, model.vocab);
  } else {
    model.generation = parse_generation_config(Json::object(), "", model.vocab);
  }
  set_eos(model, tokenizer_config, config);
  return model;
}

const Tokenizer& tokenizer_of(const ModelText& model) {
  if (model.tokenizer) return *model.tokenizer;
  throw Error({.where = "tokenizer.json",
               .what = "the model folder has none; a prompt must be given as token ids"});
}

std::vector<TokenId> encode_prompt(const ModelText& model, std::string_view text) {
  std::vector<TokenId> ids = tokenizer_of(model).encode(text);
  if (model.bos && (ids.empty() || ids.front() != *model.bos)) ids.insert(ids.begin(), *model.bos);
  return ids;
}

std::vector<TokenId> encode_rendered(const ModelText& model, std::string_view text) {
  return tokenizer_of(model).encode(text);
}

void check_prompt(const ModelConfig& config, std::span<const TokenId> prompt) {
  if (prompt.empty()) throw Error({.where = "prompt", .what = "it has no tokens"});
  for (const TokenId id : prompt) {
    if (id < 0 || std::cmp_greater_equal(id, config.vocab)) {
      throw Error({.where = "prompt",
                   .what = "token outside the vocabulary",
                   .expected = fmt::format("ids from 0 to {}", config.vocab - 1),
                   .found = fmt::format("{}", id)});
    }
  }
  if (prompt.size() >= config.max_positions) {
    throw Error(
        {.where = "prompt",
         .what = fmt::format("too long for the model's context of {} tokens", config.max_positions),
         .expected = fmt::format("at most {} tokens", config.max_positions - 1),
         .found = fmt::format("{} tokens", prompt.size())});
  }
}

bool ends_inside_think(const ModelText& model, std::span<const TokenId> prompt) {
  if (!model.tokenizer) return false;
  // Text that people put into earlier turns may name the tags; only the last turn counts.
  std::size_t begin = prompt.size();
  while (begin > 0 && model.turn != prompt[begin - 1]) --begin;
  const auto turn = prompt.subspan(begin);
  if (model.think_close) {
    const auto tag = std::find_if(turn.rbegin(), turn.rend(), [&](TokenId id) {
      return id == *model.think_open || id == *model.think_close;
    });
    return tag != turn.rend() && *tag == *model.think_open;
  }
  const std::string text = model.tokenizer->decode(turn);
  const auto open = text.rfind(kThinkOpen);
  const auto close = text.rfind(kThinkClose);
  return open != std::string::npos && (close == std::string::npos || close < open);
}

}  // namespace zaya
