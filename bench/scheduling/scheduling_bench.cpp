// What continuous batching costs and what the prefix cache saves, on a real model:
//   scheduling_bench MODEL [LONG_PROMPT] [TURN]
// LONG_PROMPT (16384): the prompt that is read beside a running output. TURN (4000): tokens of the
// conversation that goes on. Prints four tables; random tokens, greedy.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/random.h"
#include "base/timing.h"
#include "engine/scheduler.h"

namespace zaya {
namespace {

using Clock = std::chrono::steady_clock;

class Bench {
 public:
  Bench(const std::string& folder, std::size_t long_prompt, std::size_t turn)
      : checkpoint_(std::make_shared<const Checkpoint>(Checkpoint::open(folder))),
        text_(std::make_shared<ModelText>(load_model_text(folder, checkpoint_->config()))),
        runner_(checkpoint_, {.screen_head = true}),
        long_prompt_(long_prompt),
        turn_(turn) {}

  void run() {
    second_turn();
    std::fflush(stdout);
    beside_a_prompt();
    std::fflush(stdout);
    ragged();
    std::fflush(stdout);
    speculation();
  }

 private:
  std::vector<TokenId> tokens(std::size_t count) {
    std::vector<TokenId> out(count);
    for (TokenId& t : out) {
      t = static_cast<TokenId>(random_.next() % std::min(text_->vocab, std::size_t{200000}));
    }
    return out;
  }

  Request request(std::vector<TokenId> prompt, std::size_t max_tokens) const {
    return {.prompt = std::move(prompt),
            .params = {.temperature = 0, .max_tokens = max_tokens, .ignore_eos = true}};
  }

  /// Runs until the request's first token; returns the seconds.
  double first_token(Scheduler& scheduler, Request r, std::vector<TokenId>& output) {
    bool there = false;
    r.on_event = [&](const RequestEvent& event) {
      if (event.token) output.push_back(event.token->token);
      there = true;
    };
    const auto start = Clock::now();
    scheduler.submit(std::move(r));
    while (!there) scheduler.step();
    const double seconds = seconds_since(start);
    while (scheduler.step()) {
    }
    return seconds;
  }

  void second_turn() {
    Scheduler scheduler(runner_, text_, {});
    std::vector<TokenId> conversation = tokens(turn_);
    std::vector<TokenId> answer;
    const double cold = first_token(scheduler, request(conversation, 16), answer);
    conversation.insert(conversation.end(), answer.begin(), answer.end());
    const std::vector<TokenId> question = tokens(64);
    conversation.insert(conversation.end(), question.begin(), question.end());
    const double warm = first_token(scheduler, request(conversation, 1), answer);
    // An answer that is rewritten: the second turn leaves the first one's path 8 tokens earlier.
    std::vector<TokenId> other(conversation.begin(),
                               conversation.begin() + static_cast<long>(turn_ - 8));
    other.insert(other.end(), question.begin(), question.end());
    const double rolled = first_token(scheduler, request(other, 1), answer);
    fmt::print("| first token of | seconds | shorter |\n|---|--:|--:|\n");
    fmt::print("| a conversation of {} tokens | {:.2f} | |\n", turn_, cold);
    fmt::print("| its second turn, 64 tokens more | {:.3f} | {:.1f} x |\n", warm, cold / warm);
    fmt::print("| the same after its last 8 tokens changed | {:.3f} | {:.1f} x |\n\n", rolled,
               cold / rolled);
  }

  void beside_a_prompt() {
    SchedulerOptions options;
    options.prompt_tokens = options.step_tokens;  // the same chunks with and without an output
    Scheduler scheduler(runner_, text_, options);
    std::vector<double> quiet;
    std::vector<double> busy;
    std::vector<double> chunks;
    bool reading = false;
    bool read = false;
    auto last = Clock::now();
    Request stream = request(tokens(128), 100000);
    stream.on_event = [&](const RequestEvent&) {
      (reading ? busy : quiet).push_back(seconds_since(last));
      last = Clock::now();
    };
    const RequestId id = scheduler.submit(std::move(stream));
    for (int i = 0; i < 33; ++i) scheduler.step();
    quiet.erase(quiet.begin());
    Request prompt = request(tokens(long_prompt_), 1);
    prompt.on_event = [&](const RequestEvent&) { read = true; };
    scheduler.submit(std::move(prompt));
    reading = true;
    // The second half without the output beside it: what a chunk of the prompt takes alone.
    const std::size_t steps = long_prompt_ / options.step_tokens / 2;
    for (std::size_t i = 0; i < steps; ++i) scheduler.step();
    scheduler.cancel(id);
    while (!read) {
      const auto start = Clock::now();
      scheduler.step();
      chunks.push_back(seconds_since(start));
    }
    const double bound = 3 * median(quiet) + median(chunks);
    const double worst = *std::max_element(busy.begin(), busy.end() - 1);
    fmt::print("| between tokens, while {} tokens are read | ms |\n|---|--:|\n", long_prompt_);
    fmt::print("| quiet, median | {:.0f} |\n", 1e3 * median(quiet));
    fmt::print("| a chunk of {} alone, median | {:.0f} |\n", options.step_tokens,
               1e3 * median(chunks));
    fmt::print("| beside it, median | {:.0f} |\n| beside it, longest | {:.0f} |\n",
               1e3 * median(busy), 1e3 * worst);
    fmt::print("| 3 x quiet + one chunk | {:.0f} |\n\n", 1e3 * bound);
  }

  void ragged() {
    constexpr std::size_t kRequests = 32;
    std::size_t prompt_tokens = 0;
    std::size_t output_tokens = 0;
    std::vector<Request> requests;
    for (std::size_t i = 0; i < kRequests; ++i) {
      const std::size_t prompt = 32 + random_.next() % 192;
      const std::size_t output = 8 + random_.next() % 48;
      prompt_tokens += prompt;
      output_tokens += output;
      requests.push_back(request(tokens(prompt), output));
    }
    const auto schedule = [&] {
      Scheduler scheduler(runner_, text_, {.cached_sequences = 0});
      const auto start = Clock::now();
      for (const Request& r : requests) scheduler.submit(r);
      while (scheduler.step()) {
      }
      return seconds_since(start);
    };
    // The same work without gaps: equal sequences, the prompts at once, then a token each.
    const auto packed = [&] {
      const auto start = Clock::now();
      std::vector<Sequence> sequences;
      std::vector<std::vector<TokenId>> prompts;
      for (std::size_t i = 0; i < kRequests; ++i) {
        sequences.push_back(runner_.new_sequence());
        prompts.push_back(tokens(prompt_tokens / kRequests));
      }
      const auto step = [&](std::size_t first, std::size_t last, std::size_t count) {
        std::vector<Runner::Item> items;
        for (std::size_t i = first; i < last; ++i) {
          items.push_back(
              {sequences[i], std::span<const TokenId>(prompts[i]).first(count), Logits::screened});
        }
        runner_.step(items);
      };
      step(0, kRequests / 2, prompts[0].size());
      step(kRequests / 2, kRequests, prompts[0].size());
      for (std::size_t t = 1; t < output_tokens / kRequests; ++t) step(0, kRequests, 1);
      return seconds_since(start);
    };
    // In turns, for the machine's speed changes.
    std::vector<double> ratios;
    double best_schedule = 1e9;
    double best_packed = 1e9;
    for (int round = 0; round < 3; ++round) {
      const double a = schedule();
      const double b = packed();
      ratios.push_back(a / b);
      best_schedule = std::min(best_schedule, a);
      best_packed = std::min(best_packed, b);
    }
    fmt::print("| {} requests: {} prompt and {} output tokens | seconds |\n|---|--:|\n", kRequests,
               prompt_tokens, output_tokens);
    fmt::print("| ragged, scheduled | {:.2f} |\n| the same work packed | {:.2f} |\n", best_schedule,
               best_packed);
    fmt::print("| median ratio of three rounds | {:.2f} |\n\n", median(ratios));
  }

  struct Copied {
    double seconds = 0;
    std::size_t steps = 0;
    std::size_t drafted = 0;
    std::size_t right = 0;
  };

  /// Generates `output` after `prompt`, in the steps that a sampler would take which says just
  /// that: a model with random weights would not copy by itself.
  Copied copy(std::span<const TokenId> prompt, std::span<const TokenId> output,
              std::size_t draft_tokens) {
    Copied out;
    Sequence sequence = runner_.new_sequence();
    runner_.feed(sequence, prompt.first(prompt.size() - 1));
    Drafter drafter(draft_tokens, prompt);
    TokenId last = prompt.back();
    const auto start = Clock::now();
    for (std::size_t at = 0; at < output.size(); ++out.steps) {
      std::vector<TokenId> fed = drafter.draft(output.size() - at - 1);
      const std::size_t drafts = fed.size();
      fed.insert(fed.begin(), last);
      const Runner::Item item{sequence, fed, Logits::screened, drafts};
      runner_.step({&item, 1});
      std::size_t right = 0;
      while (right < drafts && fed[1 + right] == output[at + right]) ++right;
      sequence.drop_drafts(drafts - right);
      for (std::size_t i = 0; i <= right; ++i) drafter.append(output[at + i]);
      last = output[at + right];
      at += right + 1;
      out.drafted += drafts;
      out.right += right;
    }
    out.seconds = seconds_since(start);
    return out;
  }

  void speculation() {
    constexpr std::size_t kOutput = 256;
    constexpr std::size_t kDraft = 16;
    // As in text, few tokens are frequent and many are rare: runs of two repeat by chance.
    const auto text = [&](std::size_t count) {
      std::vector<TokenId> out(count);
      for (TokenId& t : out) {
        t = static_cast<TokenId>(std::pow(
            static_cast<double>(std::min<std::size_t>(text_->vocab, 200000)), random_.uniform()));
      }
      return out;
    };
    fmt::print(
        "| {} tokens that copy their prompt | plain | drafts of {} | faster | drafts right "
        "| tokens a step |\n|---|--:|--:|--:|--:|--:|\n",
        kOutput, kDraft);
    for (const double changed : {0.0, 0.02, 0.1, 1.0}) {
      const std::vector<TokenId> prompt = text(512);
      std::vector<TokenId> output(prompt.begin() + 64, prompt.begin() + 64 + kOutput);
      const std::vector<TokenId> other = text(kOutput);
      for (std::size_t i = 0; i < kOutput; ++i) {
        if (random_.uniform() < changed) output[i] = other[i];
      }
      const Copied plain = copy(prompt, output, 0);
      const Copied fast = copy(prompt, output, kDraft);
      const auto speed = [&](const Copied& c) { return kOutput / c.seconds; };
      fmt::print(
          "| {:.0f} % of them changed | {:.1f}/s | {:.1f}/s | {:.2f} x | {} of {} | {:.1f} "
          "|\n",
          100 * changed, speed(plain), speed(fast), plain.seconds / fast.seconds, fast.right,
          fast.drafted, static_cast<double>(kOutput) / static_cast<double>(fast.steps));
    }
  }

  std::shared_ptr<const Checkpoint> checkpoint_;
  std::shared_ptr<const ModelText> text_;
  Runner runner_;
  Random random_{7};
  std::size_t long_prompt_;
  std::size_t turn_;
};

}  // namespace
}  // namespace zaya

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: scheduling_bench MODEL [LONG_PROMPT] [TURN]\n");
    return 2;
  }
  const auto number = [&](int i, std::size_t otherwise) {
    return argc > i ? static_cast<std::size_t>(std::strtoul(argv[i], nullptr, 10)) : otherwise;
  };
  try {
    zaya::Bench(argv[1], number(2, 16384), number(3, 4000)).run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
