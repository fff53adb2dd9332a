#include "engine/engine.h"

#include <algorithm>
#include <utility>

#include "base/process.h"

namespace zaya {
namespace {

RunnerOptions with_memory(RunnerOptions options, const Checkpoint& checkpoint) {
  if (options.kv_memory == PagePool::kUnlimited) {
    options.kv_memory = default_kv_memory(checkpoint.bytes());
  }
  return options;
}

}  // namespace

std::size_t default_kv_memory(std::size_t weight_bytes) {
  constexpr std::size_t kLeast = std::size_t{256} << 20;
  const std::size_t available = available_memory_bytes();
  return std::max(kLeast, (available - std::min(available, weight_bytes)) / 2);
}

Engine::Engine(const std::shared_ptr<const Checkpoint>& checkpoint,
               std::shared_ptr<const ModelText> text, Options options)
    : text_(std::move(text)),
      runner_(checkpoint, with_memory(options.runner, *checkpoint)),
      scheduler_(runner_, text_, options.scheduler),
      thread_([this] { run(); }) {}

Engine::~Engine() {
  {
    const std::lock_guard lock(lock_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

RequestId Engine::submit(Request request) {
  const RequestId id = scheduler_.submit(std::move(request));
  wake();
  return id;
}

void Engine::cancel(RequestId request) {
  scheduler_.cancel(request);
  wake();
}

void Engine::wake() {
  {
    const std::lock_guard lock(lock_);
    work_ = true;
  }
  changed_.notify_all();
}

void Engine::run() {
  for (;;) {
    {
      std::unique_lock lock(lock_);
      if (stop_) break;
      work_ = false;
    }
    if (scheduler_.step()) continue;
    std::unique_lock lock(lock_);
    changed_.wait(lock, [&] { return work_ || stop_; });
  }
  scheduler_.cancel_all();
  scheduler_.step();
}

}  // namespace zaya
