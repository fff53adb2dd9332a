#include "eval/dataset.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/file.h"
#include "base/json.h"
#include "eval/code_checker.h"
#include "rsa/draw.h"
#include "text/utf8.h"
#include "zaya/error.h"

namespace zaya::eval {
namespace {

constexpr std::size_t kMostOptions = 20;

struct Preset {
  std::string name;
  std::vector<Fields> spellings;  // the first whose fields are there
};

const std::vector<Preset>& presets() {
  using answers::Kind;
  const std::vector<std::string> wrong = {"Incorrect Answer 1", "Incorrect Answer 2",
                                          "Incorrect Answer 3"};
  static const std::vector<Preset> table = {
      {"gpqa", {{"Question", "Correct Answer", "Record ID", wrong, Kind::choice, false}}},
      {"imo-answerbench",
       {{"Problem", "Short Answer", "Problem ID", {}, Kind::mathematics, false}}},
      {"aime",
       {{"problem", "answer", "id", {}, Kind::mathematics, false},
        {"Question", "Answer", "ID", {}, Kind::mathematics, false},
        {"Problem", "Answer", "ID", {}, Kind::mathematics, false}}},
      {"hmmt",
       {{"problem", "answer", "problem_idx", {}, Kind::mathematics, false},
        {"question", "answer", "id", {}, Kind::mathematics, false}}},
      {"math", {{"problem", "solution", "unique_id", {}, Kind::mathematics, true}}},
      {"livecodebench",
       {{"question_content",
         "",
         "question_id",
         {},
         Kind::code,
         false,
         {"public_test_cases", "private_test_cases"}}}},
      {"code", {{"problem", "", "id", {}, Kind::code, false}}},
  };
  return table;
}

// A row's field as text: numbers as they are written.
std::optional<std::string> field(const Json& row, const std::string& name) {
  const auto at = row.find(name);
  if (at == row.end() || at->is_null()) return std::nullopt;
  return at->is_string() ? at->get<std::string>() : at->dump();
}

bool fits(const Fields& fields, const Json& row) {
  const std::string& answer = fields.kind == answers::Kind::code ? fields.tests[0] : fields.answer;
  return row.contains(fields.problem) && row.contains(answer) &&
         std::all_of(fields.options.begin(), fields.options.end(),
                     [&](const std::string& name) { return row.contains(name); });
}

// The options in a random order that depends on seed and row alone; the right one's letter becomes
// the answer.
void show_options(Item& item, std::vector<std::string> options, std::uint64_t seed,
                  std::size_t row) {
  options.insert(options.begin(), item.answer);
  std::vector<std::size_t> order(options.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  order = rsa::draw_subset(order, order.size(), seed, row);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const char letter = static_cast<char>('A' + i);
    item.problem += fmt::format("{}({}) {}", i == 0 ? "\n\n" : "\n", letter, options[order[i]]);
    if (order[i] == 0) item.answer = std::string(1, letter);
  }
  item.problem += "\n\nPut the letter of the right option in \\boxed{}.";
}

std::vector<Json> rows_of(const std::filesystem::path& file) {
  const std::string text = read_file(file);
  const std::string name = file.string();
  if (find_invalid_utf8(text) != std::string::npos) {
    throw Error({.where = name, .what = "text is not UTF-8"});
  }
  std::vector<Json> rows;
  const std::string extension = file.extension().string();
  if (extension == ".json") {
    const Json all = parse_json(text, name);
    if (!all.is_array()) throw Error({.where = name, .what = "not a list of problems"});
    rows.assign(all.begin(), all.end());
  } else if (extension == ".csv") {
    const auto table = parse_csv(text, name);
    for (std::size_t i = 1; i < table.size(); ++i) {
      Json row = Json::object();
      if (table[i].size() != table[0].size()) {
        throw Error({.where = fmt::format("{}: row {}", name, i),
                     .what = "wrong number of fields",
                     .expected = std::to_string(table[0].size()),
                     .found = std::to_string(table[i].size())});
      }
      for (std::size_t k = 0; k < table[i].size(); ++k) row[table[0][k]] = table[i][k];
      rows.push_back(std::move(row));
    }
  } else {
    std::size_t line = 0;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view one = std::string_view(text).substr(at, end - at);
      at = end + 1;
      ++line;
      if (one.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      rows.push_back(parse_json(one, fmt::format("{}: line {}", name, line)));
    }
  }
  return rows;
}

}  // namespace

const std::vector<std::string>& preset_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Preset& p : presets()) all.push_back(p.name);
    return all;
  }();
  return names;
}

Fields fields_of(std::string_view preset) {
  for (const Preset& p : presets()) {
    if (p.name == preset) return p.spellings.front();
  }
  throw Error({.where = "data set",
               .what = "there is no preset of this name",
               .expected = fmt::format("{}", fmt::join(preset_names(), ", ")),
               .found = std::string(preset.substr(0, 100))});
}

std::vector<std::vector<std::string>> parse_csv(std::string_view text, const std::string& where) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> row;
  std::string cell;
  bool any = false;
  const auto end_row = [&] {
    if (!any && cell.empty()) return;
    row.push_back(std::move(cell));
    cell.clear();
    rows.push_back(std::exchange(row, {}));
    any = false;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' && cell.empty()) {
      any = true;
      for (++i;; ++i) {
        if (i >= text.size()) {
          throw Error({.where = fmt::format("{}: row {}", where, rows.size()),
                       .what = "a quote is not closed"});
        }
        if (text[i] != '"') {
          cell += text[i];
        } else if (i + 1 < text.size() && text[i + 1] == '"') {
          cell += text[i++];
        } else {
          break;
        }
      }
    } else if (c == ',') {
      any = true;
      row.push_back(std::exchange(cell, {}));
    } else if (c == '\n' || c == '\r') {
      end_row();
    } else {
      cell += c;
    }
  }
  end_row();
  return rows;
}

std::vector<Item> load_dataset(const std::filesystem::path& file, const DatasetOptions& options) {
  std::vector<Item> items;
  std::optional<Fields> fields = options.fields;
  std::size_t number = 0;
  for (const Json& row : rows_of(file)) {
    ++number;
    const std::string where = fmt::format("{}: problem {}", file.string(), number);
    if (!row.is_object()) throw Error({.where = where, .what = "not an object"});
    if (!fields) {
      for (const Preset& p : presets()) {
        for (const Fields& spelling : p.spellings) {
          if (!fields && fits(spelling, row)) fields = spelling;
        }
      }
      if (!fields) {
        throw Error(
            {.where = where,
             .what = "its fields are those of no preset",
             .expected = "problem and answer or tests, or --problem-field and --answer-field"});
      }
    }
    const auto need = [&](const std::string& name) {
      if (auto text = field(row, name)) return *text;
      throw Error({.where = where, .what = fmt::format("there is no field '{}'", name)});
    };
    Item item{.id = field(row, fields->id).value_or(std::to_string(number)),
              .problem = need(fields->problem),
              .answer = {},
              .kind = fields->kind};
    if (const auto kind = field(row, "kind")) item.kind = answers::parse_kind(*kind);
    if (item.kind == answers::Kind::code) {
      item.tests = read_code_tests(row, fields->tests, where);
      require_language(item.tests, where);
      item.problem +=
          "\n\n" + code_instruction(item.tests, field(row, "starter_code").value_or(""));
    } else {
      item.answer = need(fields->answer);
    }
    if (fields->boxed) {
      const auto answer = answers::extract(item.answer, item.kind);
      if (!answer) throw Error({.where = where, .what = "the solution has no \\boxed{} answer"});
      item.answer = *answer;
    }
    std::vector<std::string> wrong;
    for (const std::string& name : fields->options) wrong.push_back(need(name));
    if (wrong.size() >= kMostOptions) throw Error({.where = where, .what = "too many options"});
    if (!wrong.empty()) show_options(item, std::move(wrong), options.seed, number);
    items.push_back(std::move(item));
    if (options.limit > 0 && items.size() == options.limit) break;
  }
  if (items.empty()) throw Error({.where = file.string(), .what = "there are no problems"});
  return items;
}

}  // namespace zaya::eval
