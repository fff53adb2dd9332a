// Completes a text in two ways at once, and prints the tokens as they come.
//
//   complete MODEL TEXT [TOKENS]
#include <cstdio>
#include <cstdlib>
#include <future>
#include <string>

#include "zaya/engine.h"
#include "zaya/error.h"

namespace {

void complete(const std::string& model, const std::string& text, std::size_t tokens) {
  zaya::Engine engine(model);
  zaya::Request request;
  request.prompt = engine.encode(text);
  request.params = engine.default_params();
  request.params.seed = 1;
  request.params.max_tokens = tokens;
  request.n = 2;

  // Events come on the engine's own thread, one at a time.
  std::size_t running = request.n;
  std::promise<void> done;
  request.on_event = [&](const zaya::RequestEvent& event) {
    if (event.token) {
      std::printf("%zu: %6d  %s\n", event.choice, event.token->token,
                  event.token->text.answer.c_str());
    }
    if (!event.finish) return;
    const zaya::RequestStats& stats = event.stats;
    std::printf("%zu: %s, %zu tokens; prompt %zu, of which shared or cached %zu\n", event.choice,
                event.error.empty() ? zaya::finish_reason_name(*event.finish) : event.error.c_str(),
                stats.output_tokens, stats.prompt_tokens, stats.cached_tokens);
    std::printf("%zu: %.3f s in the queue, %.3f s for the prompt, %.3f s for the output\n",
                event.choice, stats.queue_seconds, stats.prefill_seconds, stats.decode_seconds);
    if (--running == 0) done.set_value();
  };
  engine.submit(std::move(request));
  done.get_future().wait();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fprintf(stderr, "usage: complete MODEL TEXT [TOKENS]\n");
    return 2;
  }
  try {
    complete(argv[1], argv[2], argc == 4 ? std::strtoul(argv[3], nullptr, 10) : 32);
  } catch (const zaya::Error& error) {
    std::fprintf(stderr, "complete: %s\n", error.what());
    return 1;
  }
}
