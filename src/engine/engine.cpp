#include "zaya/engine.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/process.h"
#include "checkpoint/hub.h"
#include "engine/model_text.h"
#include "engine/scheduler.h"
#include "text/chat.h"
#include "zaya/error.h"

namespace zaya {
namespace {

// Half of what is free beside the mapped weights, so that work space, the sequences' CCA tails and
// other programs find room.
std::size_t default_kv_memory(std::size_t weight_bytes) {
  constexpr std::size_t kLeast = std::size_t{256} << 20;
  const std::size_t available = available_memory_bytes();
  return std::max(kLeast, (available - std::min(available, weight_bytes)) / 2);
}

RunnerOptions with_memory(RunnerOptions options, const Checkpoint& checkpoint) {
  if (!options.kv_memory) options.kv_memory = default_kv_memory(checkpoint.bytes());
  return options;
}

std::shared_ptr<const ModelText> load_text(const std::filesystem::path& folder,
                                           const ModelConfig& config,
                                           const EngineOptions& options) {
  ModelText text = load_model_text(folder, config, options.generation_config);
  if (options.context) {
    if (*options.context < 2 || *options.context > text.context) {
      throw Error({.where = "context",
                   .what = "not a length that the model has",
                   .expected = fmt::format("2 to {} tokens", text.context),
                   .found = fmt::format("{}", *options.context)});
    }
    text.context = *options.context;
  }
  return std::make_shared<const ModelText>(std::move(text));
}

}  // namespace

class Engine::Impl {
 public:
  Impl(const std::filesystem::path& folder, const Options& options)
      : Impl(folder, std::make_shared<const Checkpoint>(Checkpoint::open(folder)), options) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  const ModelText& text() const { return *text_; }
  const Runner& runner() const { return runner_; }
  /// Read on first use: who sends no messages can run a model with a template we cannot read.
  const ChatTemplate& chat_template() const;

  RequestId submit(Request request);
  void cancel(RequestId request);
  EngineStatus status() const;
  void save_session(ChoiceId choice, const std::string& file);
  std::vector<TokenId> load_session(const std::string& file);
  Scheduler& scheduler() { return scheduler_; }
  /// Has the thread see to what the scheduler was told.
  void wake();

 private:
  Impl(std::filesystem::path folder, const std::shared_ptr<const Checkpoint>& checkpoint,
       const Options& options)
      : folder_(std::move(folder)),
        text_(load_text(folder_, checkpoint->config(), options)),
        runner_(checkpoint, with_memory(options.runner, *checkpoint)),
        scheduler_(runner_, text_, options.scheduler),
        thread_([this] { run(); }) {}

  void run();
  void between_steps(const std::function<void()>& task);
  void run_tasks();

  std::filesystem::path folder_;
  std::shared_ptr<const ModelText> text_;
  mutable std::mutex template_lock_;
  mutable std::optional<ChatTemplate> template_;
  Runner runner_;
  Scheduler scheduler_;
  mutable std::mutex lock_;
  std::condition_variable changed_;
  EngineStatus status_;
  std::deque<std::packaged_task<void()>> tasks_;
  bool work_ = false;
  bool stop_ = false;
  std::thread thread_;  // last: it uses all of the above
};

Engine::Impl::~Impl() {
  {
    const std::lock_guard lock(lock_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

const ChatTemplate& Engine::Impl::chat_template() const {
  const std::lock_guard lock(template_lock_);
  if (!template_) template_ = ChatTemplate::load(folder_);
  return *template_;
}

RequestId Engine::Impl::submit(Request request) {
  const RequestId id = scheduler_.submit(std::move(request));
  wake();
  return id;
}

void Engine::Impl::cancel(RequestId request) {
  scheduler_.cancel(request);
  wake();
}

EngineStatus Engine::Impl::status() const {
  EngineStatus status;
  {
    const std::lock_guard lock(lock_);
    status = status_;
  }
  status.kv_pages = runner_.pages().pages_in_use();
  status.kv_bytes = runner_.pages().bytes_in_use();
  return status;
}

void Engine::Impl::save_session(ChoiceId choice, const std::string& file) {
  between_steps([&] { scheduler_.save_session(choice, file); });
}

std::vector<TokenId> Engine::Impl::load_session(const std::string& file) {
  std::vector<TokenId> tokens;
  between_steps([&] { tokens = scheduler_.load_session(file); });
  return tokens;
}

/// Runs a task on the engine's thread and waits for it; throws what it throws.
void Engine::Impl::between_steps(const std::function<void()>& task) {
  if (std::this_thread::get_id() == thread_.get_id()) {
    throw Error({.where = "session", .what = "cannot be saved or loaded from within an event"});
  }
  std::packaged_task<void()> packaged(task);
  std::future<void> done = packaged.get_future();
  {
    const std::lock_guard lock(lock_);
    tasks_.push_back(std::move(packaged));
  }
  wake();
  done.get();
}

void Engine::Impl::run_tasks() {
  std::deque<std::packaged_task<void()>> tasks;
  {
    const std::lock_guard lock(lock_);
    tasks.swap(tasks_);
  }
  for (auto& task : tasks) task();
}

void Engine::Impl::wake() {
  {
    const std::lock_guard lock(lock_);
    work_ = true;
  }
  changed_.notify_all();
}

void Engine::Impl::run() {
  const auto take_flags = [&] {
    const std::lock_guard lock(lock_);
    return std::pair(std::exchange(work_, false), stop_);
  };
  while (!take_flags().second) {
    run_tasks();
    const bool stepped = scheduler_.step();
    std::unique_lock lock(lock_);
    status_.running = scheduler_.running();
    status_.waiting = scheduler_.waiting();
    status_.cached_sequences = scheduler_.cached();
    if (stepped) continue;
    changed_.wait(lock, [&] { return work_ || stop_; });
  }
  do {  // an event may submit another request
    scheduler_.cancel_all();
    scheduler_.step();
  } while (take_flags().first);
}

Engine::Engine(const std::string& model, const Options& options)
    : impl_(std::make_unique<Impl>(resolve_model_folder(model), options)) {}

Engine::~Engine() = default;

std::vector<TokenId> Engine::encode(std::string_view text) const {
  return encode_prompt(impl_->text(), text);
}

std::vector<TokenId> Engine::encode_chat(std::span<const ChatMessage> messages,
                                         bool thinking) const {
  ChatRequest request;
  for (const ChatMessage& message : messages) {
    request.messages.push_back({{"role", message.role}, {"content", message.content}});
  }
  if (!thinking) request.kwargs["enable_thinking"] = false;
  return encode_rendered(impl_->text(), impl_->chat_template().render(request));
}

std::string Engine::decode(std::span<const TokenId> tokens) const {
  return tokenizer_of(impl_->text()).decode(tokens);
}

const SamplingParams& Engine::default_params() const {
  return impl_->text().generation.params;
}

std::size_t Engine::context() const {
  return impl_->text().context;
}

std::size_t Engine::kv_memory() const {
  return impl_->runner().pages().budget();
}

std::size_t Engine::kv_bytes(std::size_t tokens) const {
  return impl_->scheduler().bytes_for(tokens);
}

void Engine::load_adapter(const std::string& name, const std::string& folder) {
  impl_->scheduler().load_adapter(name, resolve_model_folder(folder));
}

void Engine::unload_adapter(const std::string& name) {
  impl_->scheduler().unload_adapter(name);
  impl_->wake();
}

std::vector<AdapterInfo> Engine::adapters() const {
  return impl_->scheduler().adapters();
}

RequestId Engine::submit(Request request) {
  return impl_->submit(std::move(request));
}

void Engine::cancel(RequestId request) {
  impl_->cancel(request);
}

EngineStatus Engine::status() const {
  return impl_->status();
}

void Engine::save_session(ChoiceId choice, const std::string& file) {
  impl_->save_session(choice, file);
}

std::vector<TokenId> Engine::load_session(const std::string& file) {
  return impl_->load_session(file);
}

const ModelConfig& Engine::config() const {
  return impl_->runner().config();
}

const ModelText& Engine::text() const {
  return impl_->text();
}

}  // namespace zaya
