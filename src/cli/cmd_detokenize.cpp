#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "base/json.h"
#include "checkpoint/hub.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "cli/text_input.h"
#include "text/tokenizer.h"
#include "zaya/error.h"

namespace zaya::cli {
namespace {

struct Options {
  std::string model;
  std::vector<std::string> ids;
  std::string file;
  bool jsonl = false;
  bool skip_special_tokens = false;
};

// A list of ids with or without the brackets that tokenize prints around it.
std::vector<TokenId> parse_ids(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '[' || c == ']'; }, ' ');
  return parse_token_list(text);
}

std::vector<TokenId> ids_of(const Json& value, const std::string& where) {
  const auto is_id = [](const Json& item) {
    return item.is_number_unsigned() &&
           item.get<std::uint64_t>() <= std::numeric_limits<TokenId>::max();
  };
  if (!value.is_array() || !std::all_of(value.begin(), value.end(), is_id)) {
    throw Error(
        {.where = where, .what = "unexpected value", .expected = "a JSON array of token ids"});
  }
  return value.get<std::vector<TokenId>>();
}

std::string decode(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, bool skip_special,
                   const std::string& where) {
  for (const TokenId id : ids) {
    if (tokenizer.contains(id)) continue;
    throw Error({.where = where,
                 .what = fmt::format("no token has id {}", id),
                 .expected = fmt::format("ids from 0 to {}", tokenizer.vocab_size() - 1)});
  }
  return tokenizer.decode(ids, skip_special);
}

void detokenize(const Options& options) {
  const Tokenizer tokenizer =
      Tokenizer::load(resolve_model_folder(options.model) / "tokenizer.json");
  if (options.jsonl) {
    TextInput input(options.file);
    input.for_each_json_line([&](const Json& value, const std::string& where) {
      print_json_line(decode(tokenizer, ids_of(value, where), options.skip_special_tokens, where));
    });
    return;
  }
  std::vector<TokenId> ids;
  std::string where = "IDS";
  if (options.ids.empty()) {
    TextInput input(options.file);
    where = input.name();
    try {
      ids = parse_ids(input.read_all());
    } catch (const UsageError& e) {  // bad data is no wrong usage
      throw Error({.where = where, .what = e.what()});
    }
  } else {
    ids = parse_ids(fmt::format("{}", fmt::join(options.ids, " ")));
  }
  fmt::print("{}", decode(tokenizer, ids, options.skip_special_tokens, where));
  if (::isatty(STDOUT_FILENO) != 0) fmt::print("\n");
}

}  // namespace

void add_detokenize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("detokenize", "Turn token ids into text");
  command
      ->add_option("model", options->model,
                   "Folder with a tokenizer.json, or hub id in the local cache")
      ->required()
      ->type_name("MODEL");
  CLI::Option* ids = command
                         ->add_option("ids", options->ids,
                                      "Token ids, separated by commas or spaces; without them, "
                                      "standard input")
                         ->type_name("IDS");
  CLI::Option* file =
      command->add_option("--file", options->file, "Read this file instead")->type_name("FILE");
  CLI::Option* jsonl = command->add_flag("--jsonl", options->jsonl,
                                         "One JSON array of ids a line in, one JSON string a line "
                                         "out");
  command->add_flag("--skip-special-tokens", options->skip_special_tokens,
                    "Leave out special tokens such as <bos>");
  file->excludes(ids);
  jsonl->excludes(ids);
  command->callback([options] { detokenize(*options); });
}

}  // namespace zaya::cli
