#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

#include "rsa/forecast.h"
#include "rsa/population.h"
#include "server/generation_job.h"
#include "server/http.h"
#include "server/metrics.h"
#include "server/reply_parts.h"
#include "server/rsa_call.h"
#include "zaya/engine.h"

namespace zaya {

/// Threads of work that takes minutes. The end of this object stops them and waits for them.
class LongWork {
 public:
  using Body = std::function<void(std::stop_token)>;

  LongWork() = default;
  LongWork(const LongWork&) = delete;
  LongWork& operator=(const LongWork&) = delete;
  ~LongWork();

  /// `body` must not throw. What is returned stops it.
  std::stop_source start(Body body);

 private:
  struct Worker {
    std::shared_ptr<bool> done = std::make_shared<bool>(false);
    std::jthread thread = {};
  };

  std::mutex lock_;  // of what follows, and of every `done`
  std::list<Worker> workers_;
};

/// One run of Markovian RSA for a call: its candidates go through the engine like the choices of
/// any other call, what happens to them is told as it happens, and the answer comes last. A client
/// that leaves stops it all.
struct RsaJob {
  Engine& engine;
  Admission& admission;
  Metrics& metrics;
  std::shared_ptr<Exchange> exchange;
  RsaCall call;
  ReplyContext context;
  std::string adapter;
  std::size_t slots;  ///< candidates at once

  /// Throws ApiError for a call that cannot be served; else the rest happens among `threads`.
  static void start(RsaJob job, LongWork& threads);
};

}  // namespace zaya
