#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/json.h"
#include "checkpoint/hub.h"
#include "cli/command.h"
#include "cli/text_input.h"
#include "text/tokenizer.h"
#include "zaya/error.h"

namespace zaya::cli {
namespace {

struct Options {
  std::string model;
  std::string text;
  bool has_text = false;
  std::string file;
  bool jsonl = false;
  bool show = false;
  bool add_special_tokens = false;
};

void tokenize(const Options& options) {
  const Tokenizer tokenizer =
      Tokenizer::load(resolve_model_folder(options.model) / "tokenizer.json");
  if (options.jsonl) {
    TextInput input(options.file);
    input.for_each_json_line([&](const Json& value, const std::string& where) {
      if (!value.is_string()) {
        throw Error({.where = where,
                     .what = "unexpected value",
                     .expected = "a JSON string",
                     .found = value.type_name()});
      }
      print_json_line(
          tokenizer.encode(value.get_ref<const std::string&>(), options.add_special_tokens));
    });
    return;
  }
  std::string text = options.text;
  std::string where = "TEXT";
  if (!options.has_text) {
    TextInput input(options.file);
    text = input.read_all();
    where = input.name();
  }
  require_utf8(text, where);
  const std::vector<TokenId> ids = tokenizer.encode(text, options.add_special_tokens);
  if (options.show) {
    for (const TokenId id : ids) fmt::print("{:>8}  {}\n", id, Json(tokenizer.token(id)).dump());
  } else {
    print_json_line(ids);
  }
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("tokenize", "Turn text into token ids");
  command
      ->add_option("model", options->model,
                   "Folder with a tokenizer.json, or hub id in the local cache")
      ->required()
      ->type_name("MODEL");
  CLI::Option* text =
      command
          ->add_option("text", options->text,
                       "The text; without it, standard input to the last byte, the end of the last "
                       "line too")
          ->type_name("TEXT");
  CLI::Option* file =
      command->add_option("--file", options->file, "Read this file instead")->type_name("FILE");
  CLI::Option* jsonl = command->add_flag("--jsonl", options->jsonl,
                                         "One JSON string a line in, one JSON array of ids a line "
                                         "out");
  command->add_flag("--show", options->show, "Print one token a line: its id and its spelling")
      ->excludes(jsonl);
  command->add_flag("--add-special-tokens", options->add_special_tokens,
                    "Put the tokens around that tokenizer.json names for this, such as <bos>");
  file->excludes(text);
  jsonl->excludes(text);
  command->callback([options, text] {
    options->has_text = text->count() > 0;
    tokenize(*options);
  });
}

}  // namespace zaya::cli
