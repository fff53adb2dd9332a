#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zaya/options.h"
#include "zaya/request.h"
#include "zaya/sampling_params.h"
#include "zaya/token.h"

namespace zaya {

struct ModelConfig;
struct ModelText;

struct EngineOptions {
  RunnerOptions runner = {};
  SchedulerOptions scheduler = {};
  /// Whether generation_config.json of the model folder is read: defaults of sampling, and tokens
  /// that end an output.
  bool generation_config = true;
  /// Most tokens of a prompt and its output. None: what the model was made for, which is the most.
  std::optional<std::size_t> context = {};
};

/// What an engine was busy with after its last step.
struct EngineStatus {
  std::size_t running = 0;           ///< choices that hold memory
  std::size_t waiting = 0;           ///< choices that wait for memory or a place
  std::size_t cached_sequences = 0;  ///< finished ones, kept for their prefixes
  std::size_t kv_pages = 0;          ///< in use, those of cached sequences included
  std::size_t kv_bytes = 0;          ///< of these pages
};

/// One message of a conversation.
struct ChatMessage {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
};

/// A model that serves requests, many at once, on a thread of its own. All functions may be called
/// from any thread, and from a request's on_event.
class Engine {
 public:
  using Options = EngineOptions;

  /// `model`: a folder with a checkpoint, or the id of one in the local Hugging Face cache. Throws
  /// Error when it is not there, damaged, or not a model this library runs.
  explicit Engine(const std::string& model, const Options& options = {});
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  /// Cancels what is left, and what is submitted meanwhile; every choice has had its last event
  /// when this returns.
  ~Engine();

  /// The tokens of a raw prompt, with BOS where the model wants one. Throws Error when the folder
  /// has no tokenizer.json.
  std::vector<TokenId> encode(std::string_view text) const;
  /// The tokens of a conversation by the model's own chat template, with the assistant's turn
  /// opened. `thinking` is the template's `enable_thinking`. Throws Error when the template is
  /// malformed or refuses the messages, or without a tokenizer.
  std::vector<TokenId> encode_chat(std::span<const ChatMessage> messages,
                                   bool thinking = true) const;
  /// The text of tokens, special ones included. Throws Error without a tokenizer.
  std::string decode(std::span<const TokenId> tokens) const;

  /// How the checkpoint itself wants to be sampled. The seed is 0: draw one.
  const SamplingParams& default_params() const;
  std::size_t context() const;    ///< most tokens of a prompt and its output
  std::size_t kv_memory() const;  ///< bytes for K and V of all sequences together
  /// Most bytes that K and V of a sequence of so many tokens take.
  std::size_t kv_bytes(std::size_t tokens) const;

  /// Loads a LoRA adapter of the attention projections (docs/adapters.md), under a name for
  /// requests; they go on meanwhile. `folder`: as PEFT saves it, or its id in the local Hugging
  /// Face cache. Throws Error when it is damaged, not for this model or of a kind that is not
  /// supported, and for a name that is empty or taken.
  void load_adapter(const std::string& name, const std::string& folder);
  /// From now on requests may not name it. Those that did are finished with it; then its memory is
  /// free. Throws Error when there is none of that name.
  void unload_adapter(const std::string& name);
  std::vector<AdapterInfo> adapters() const;  ///< in the order of their names

  /// Queues a request; its events begin to come, maybe before this returns. Throws Error for a
  /// prompt or parameters that are not valid, for an adapter that is not loaded, or when prompt and
  /// max_tokens can never fit the context or the KV memory. Without max_tokens, an output may be as
  /// long as these allow.
  RequestId submit(Request request);
  /// Ends all choices of a request, at the next step; each gets its last event. Nothing happens if
  /// there is no such request.
  void cancel(RequestId request);

  EngineStatus status() const;
  /// Writes the state of a choice to a file: its prompt and its output so far, computed. It may be
  /// running, or be one that a parent may be (Request::parent). The file is safetensors, bound to
  /// the checkpoint and the compute mode. Throws Error when there is no such choice, for one
  /// with an adapter, and when the file cannot be written.
  void save_session(ChoiceId choice, const std::string& file);
  /// Puts the state of such a file into the prefix cache. A request whose prompt begins with the
  /// tokens that are returned does not compute them again, as long as the cache keeps them. Throws
  /// Error for a file that is damaged or belongs to another model, and when there is no room.
  std::vector<TokenId> load_session(const std::string& file);
  // Both wait for the end of a step and hold up the next while the file is read or written. They
  // cannot be called from an event.

  /// For the other parts of zaya.cpp, which know these types.
  const ModelConfig& config() const;
  const ModelText& text() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace zaya
