#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "answers/answers.h"
#include "eval/code_tests.h"

namespace zaya::eval {

/// One problem of a data set.
struct Item {
  std::string id;
  std::string problem;  ///< as the model is given it; options of a choice included
  std::string answer;   ///< the right one; of code empty
  answers::Kind kind = answers::Kind::mathematics;
  CodeTests tests = {};  ///< of code
};

/// How the fields of a data set are called.
struct Fields {
  std::string problem;
  std::string answer;                     ///< of code none: tests are in its place
  std::string id = {};                    ///< may be missing: the number of the line
  std::vector<std::string> options = {};  ///< wrong ones, beside the right answer
  answers::Kind kind = answers::Kind::mathematics;
  bool boxed = false;  ///< the answer is the last \boxed{} of its field: a whole solution
  std::vector<std::string> tests = {"tests"};  ///< of code: all that a row has of these
};

/// "aime", "hmmt", "math", "gpqa", "imo-answerbench", "livecodebench" or "code": the fields that
/// these benchmarks are usually published with. Throws Error for another name.
Fields fields_of(std::string_view preset);
const std::vector<std::string>& preset_names();

struct DatasetOptions {
  std::optional<Fields> fields = {};  ///< none: the first preset whose fields are there
  std::uint64_t seed = 0;             ///< of the order in which options are shown
  std::size_t limit = 0;              ///< most problems; 0: all
};

/// Reads JSON lines (.jsonl), a JSON list (.json) or CSV with a head (.csv). "kind" in a row
/// (mathematics, choice, code, text) goes before the preset's. A problem of code is told the form
/// of its answer, "starter_code" of its row included. Throws Error naming file and row.
std::vector<Item> load_dataset(const std::filesystem::path& file, const DatasetOptions& options);

/// The rows of a CSV text, quotes and line breaks within them understood (RFC 4180). Throws Error
/// for a quote that is not closed.
std::vector<std::vector<std::string>> parse_csv(std::string_view text, const std::string& where);

}  // namespace zaya::eval
