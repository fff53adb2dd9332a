#include "train/prepare.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"
#include "base/hash.h"
#include "checkpoint/config.h"
#include "compute/thread_pool.h"
#include "train/shard.h"
#include "zaya/error.h"

namespace zaya::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kThinkOpen = "<think>";
constexpr std::string_view kThinkClose = "</think>";

/// Where what the assistant writes begins and ends in the text of a conversation.
struct Turn {
  std::size_t begin;
  std::size_t end;
};

std::string render(const ChatTemplate& chat, const ChatRequest& request, std::size_t messages,
                   bool open, std::optional<bool> thinking = {}) {
  ChatRequest part = request;
  part.messages =
      Json(request.messages.begin(), request.messages.begin() + static_cast<long>(messages));
  part.add_generation_prompt = open;
  if (thinking) part.kwargs["enable_thinking"] = *thinking;
  return chat.render(part);
}

std::vector<Turn> assistant_turns(const ChatTemplate& chat, const ChatRequest& request,
                                  const std::string& whole) {
  std::vector<Turn> turns;
  for (std::size_t i = 0; i < request.messages.size(); ++i) {
    const Json& message = request.messages[i];
    if (!message.is_object() || message.value("role", "") != "assistant") continue;
    // The longest prompt that the turn goes on from: a turn without thoughts follows an empty
    // think block.
    std::size_t begin = 0;
    for (const bool thinking : {false, true}) {
      const std::string prompt = render(chat, request, i, true, thinking);
      if (whole.starts_with(prompt)) begin = std::max(begin, prompt.size());
    }
    const std::string after = render(chat, request, i + 1, false);
    if (begin == 0 || !whole.starts_with(after)) continue;
    // The newline behind the end of a turn belongs to what follows.
    std::size_t end = after.size();
    while (end > begin && after[end - 1] == '\n') --end;
    turns.push_back({begin, end});
  }
  return turns;
}

/// The messages without the thoughts of all but the last turn of the assistant.
Json without_earlier_thoughts(const Json& messages) {
  Json out = messages;
  std::size_t last = out.size();
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i].is_object() && out[i].value("role", "") == "assistant") last = i;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (i == last || !out[i].is_object() || out[i].value("role", "") != "assistant") continue;
    out[i].erase("reasoning_content");
    const auto content = out[i].find("content");
    if (content == out[i].end() || !content->is_string()) continue;
    const auto& text = content->get_ref<const std::string&>();
    const std::size_t close = text.rfind(kThinkClose);
    if (close == std::string::npos) continue;
    const std::size_t from = text.find_first_not_of('\n', close + kThinkClose.size());
    *content = from == std::string::npos ? "" : text.substr(from);
  }
  return out;
}

/// Lines of an input that make one shard.
struct Part {
  std::size_t input;
  std::size_t begin;  ///< byte
  std::size_t end;
  std::size_t line;  ///< number of the first one, from 1
};

/// Cuts an input into parts of about `size` bytes, at ends of lines.
void cut(std::string_view text, std::size_t input, std::size_t size, std::vector<Part>& parts) {
  std::size_t line = 1;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t newline = text.find('\n', std::min(text.size(), begin + size - 1));
    const std::size_t end = newline == std::string_view::npos ? text.size() : newline + 1;
    parts.push_back({input, begin, end, line});
    line += static_cast<std::size_t>(std::count(text.begin() + static_cast<long>(begin),
                                                text.begin() + static_cast<long>(end), '\n'));
    begin = end;
  }
}

}  // namespace

ExampleEncoder::ExampleEncoder(const fs::path& model)
    : tokenizer_(Tokenizer::load(model / "tokenizer.json")),
      template_(ChatTemplate::load(model)),
      think_open_(tokenizer_.find(kThinkOpen)),
      think_close_(tokenizer_.find(kThinkClose)) {
  const ModelConfig config = read_config(model).model;
  bos_ = config.bos;
  if (config.eos.empty()) {
    throw Error({.where = (model / "config.json").string(), .what = "eos_token_id is missing"});
  }
  eos_ = config.eos.front();
  Hash hash;
  hash.add(fmt::format("{} {}", bos_, eos_));
  for (const std::string& part :
       {read_file(model / "tokenizer.json"), template_.source(false), template_.source(true)}) {
    hash.add(std::string_view(part));
  }
  fingerprint_ = hash.hex();
}

TokenExample ExampleEncoder::text(const std::string& text) const {
  TokenExample out;
  out.tokens = tokenizer_.encode(text);
  if (out.tokens.empty() || out.tokens.front() != bos_) out.tokens.insert(out.tokens.begin(), bos_);
  out.tokens.push_back(eos_);
  out.loss.assign(out.tokens.size(), 1);
  return out;
}

TokenExample ExampleEncoder::chat(const ChatRequest& request, const std::string& where) const {
  const std::string whole = render(template_, request, request.messages.size(), false);
  TokenExample out;
  const auto append = [&](std::size_t begin, std::size_t end, std::uint8_t loss) {
    const auto ids = tokenizer_.encode(std::string_view(whole).substr(begin, end - begin));
    out.tokens.insert(out.tokens.end(), ids.begin(), ids.end());
    out.loss.resize(out.tokens.size(), loss);
  };
  // Piece by piece: a prompt ends, and is tokenised, where the model goes on by itself.
  std::size_t at = 0;
  for (const Turn& turn : assistant_turns(template_, request, whole)) {
    append(at, turn.begin, 0);
    append(turn.begin, turn.end, 1);
    at = turn.end;
  }
  if (at == 0) {
    throw Error({.where = where,
                 .what = "the conversation has nothing to learn",
                 .expected = "a message of the assistant"});
  }
  append(at, whole.size(), 0);
  if (out.tokens.front() != bos_) {
    out.tokens.insert(out.tokens.begin(), bos_);
    out.loss.insert(out.loss.begin(), 0);
  }
  return out;
}

/// Takes what is too much from the end of the last think block.
bool ExampleEncoder::trim(TokenExample& example, std::size_t most) const {
  if (example.tokens.size() <= most) return true;
  if (!think_open_ || !think_close_) return false;
  const std::size_t excess = example.tokens.size() - most;
  const auto& t = example.tokens;
  const auto close = std::find(t.rbegin(), t.rend(), *think_close_);
  if (close == t.rend()) return false;
  const auto open = std::find(close, t.rend(), *think_open_);
  if (open == t.rend()) return false;
  const auto end = static_cast<std::size_t>(t.rend() - close) - 1;
  const auto begin = static_cast<std::size_t>(t.rend() - open);
  if (end - begin < excess) return false;
  const auto from = static_cast<long>(end - excess);
  const auto to = static_cast<long>(end);
  example.tokens.erase(t.begin() + from, t.begin() + to);
  example.loss.erase(example.loss.begin() + from, example.loss.begin() + to);
  return true;
}

std::optional<TokenExample> ExampleEncoder::encode(const Json& line, std::size_t most,
                                                   const std::string& where) const {
  const JsonView view(line, where);
  if (view.has("text")) return text(view.string("text"));
  if (!view.has("messages")) {
    throw Error({.where = where, .what = "an example needs \"text\" or \"messages\""});
  }
  ChatRequest request;
  request.messages = view.at("messages");
  if (!request.messages.is_array()) view.fail("messages", "a list of messages");
  if (const Json* tools = view.find("tools")) request.tools = *tools;
  try {
    TokenExample example = chat(request, where);
    if (most == 0 || trim(example, most)) return example;
    request.messages = without_earlier_thoughts(request.messages);
    example = chat(request, where);
    if (trim(example, most)) return example;
    return {};
  } catch (const Json::exception& e) {
    throw Error({.where = where, .what = fmt::format("not a conversation: {}", e.what())});
  }
}

PrepareResult prepare(const PrepareOptions& options, const Progress& progress) {
  const ExampleEncoder encoder(options.model);
  std::vector<MappedFile> files;
  std::vector<Part> parts;
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < options.inputs.size(); ++i) {
    files.emplace_back(options.inputs[i]);
    const auto bytes = files.back().bytes();
    total += bytes.size();
    cut({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, i, options.shard_bytes, parts);
  }
  std::error_code error;
  fs::create_directories(options.out, error);
  if (error) {
    throw Error({.where = options.out.string(), .what = "cannot create: " + error.message()});
  }

  PrepareResult result;
  std::uint64_t done = 0;
  std::mutex lock;
  const auto make = [&](std::size_t index) {
    const Part& part = parts[index];
    const std::string_view text(
        reinterpret_cast<const char*>(files[part.input].bytes().data()) + part.begin,
        part.end - part.begin);
    const fs::path path = options.out / fmt::format("{:06}.tokens", index);
    Hash hash;
    hash.add(text);
    const std::string source =
        fmt::format("{} {} {}", hash.hex(), encoder.fingerprint(), options.max_tokens);
    Examples examples;
    std::size_t dropped = 0;
    bool kept = false;
    std::size_t count = 0;
    std::size_t tokens = 0;
    std::size_t targets = 0;
    if (std::error_code ignored; fs::exists(path, ignored)) {
      try {
        const Shard shard(path);
        const auto& metadata = shard.metadata();
        if (const auto it = metadata.find("source"); it != metadata.end() && it->second == source) {
          kept = true;
          count = shard.count();
          tokens = shard.total_tokens();
          for (std::size_t i = 0; i < count; ++i) {
            for (const std::uint8_t l : shard.loss(i)) targets += l != 0 ? 1 : 0;
          }
          dropped = std::stoul(metadata.at("dropped"));
        }
      } catch (const Error&) {  // damaged, or another's: made anew
      } catch (const std::exception&) {
      }
    }
    if (!kept) {
      std::size_t line = part.line;
      for (std::size_t begin = 0; begin < text.size(); ++line) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        const std::string_view one = text.substr(begin, end - begin);
        begin = end + 1;
        if (one.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        const std::string where = fmt::format("{}:{}", options.inputs[part.input].string(), line);
        const auto example = encoder.encode(parse_json(one, where), options.max_tokens, where);
        if (example) {
          examples.add(example->tokens, example->loss);
        } else {
          ++dropped;
        }
      }
      count = examples.count();
      tokens = examples.tokens.size();
      targets = static_cast<std::size_t>(
          std::count(examples.loss.begin(), examples.loss.end(), std::uint8_t{1}));
      write_shard(path, examples, {{"source", source}, {"dropped", std::to_string(dropped)}});
    }
    const std::lock_guard guard(lock);
    result.kept += kept ? 1 : 0;
    result.examples += count;
    result.dropped += dropped;
    result.tokens += tokens;
    result.targets += targets;
    done += text.size();
    report(progress, done, total);
  };
  ThreadPool pool;
  pool.run(parts.size(), make);
  result.shards = parts.size();
  // What an earlier run with more input left behind is no part of this data.
  for (std::size_t i = parts.size();; ++i) {
    if (!fs::remove(options.out / fmt::format("{:06}.tokens", i), error)) break;
  }
  return result;
}

}  // namespace zaya::train
