#include "engine/bench.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/random.h"
#include "base/timing.h"
#include "zaya/error.h"

namespace zaya {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

Bench::Bench(Runner& runner, const RooflineProbe& probe, BenchOptions options, BusyProcess* busy,
             Progress progress)
    : runner_(runner),
      probe_(probe),
      options_(std::move(options)),
      busy_(busy),
      progress_(std::move(progress)),
      pool_(runner.threads()) {
  const std::size_t most = runner.config().max_positions;
  const auto check = [&](std::size_t tokens) {
    if (tokens <= most) return;
    throw Error({.where = "bench",
                 .what = "a sequence would be longer than the model's context",
                 .expected = fmt::format("at most {} tokens", most),
                 .found = fmt::format("{} tokens", tokens)});
  };
  // Every line has a pass before the repeats whose routing is looked at.
  const std::uint64_t passes = options_.repeat + 1;
  for (const std::size_t length : options_.prompts) {
    check(length);
    total_ += length * passes;
  }
  for (const std::size_t depth : options_.depths) {
    check(depth > most ? depth : depth + options_.decode);
    for (const std::size_t batch : options_.batches) {
      if (!options_.fill_cache) total_ += batch * depth;
      total_ += batch * options_.decode * (passes + (busy_ != nullptr ? passes : 0));
    }
  }
}

std::vector<BenchLine> Bench::run() {
  std::vector<BenchLine> lines;
  for (const std::size_t length : options_.prompts) lines.push_back(prompt(length));
  for (const std::size_t depth : options_.depths) {
    for (const std::size_t batch : options_.batches) lines.push_back(decode(depth, batch));
  }
  return lines;
}

void Bench::advance(std::size_t tokens) {
  done_ += tokens;
  report(progress_, done_, total_);
}

Bench::Tokens Bench::random_tokens(std::size_t count, std::uint64_t stream) const {
  Random random(options_.seed, stream);
  Tokens tokens(count);
  for (TokenId& t : tokens) t = static_cast<TokenId>(random.next() % runner_.config().vocab);
  return tokens;
}

void Bench::measure(BenchLine& line, const std::function<double()>& once) {
  const Isa isa = selected_isa();
  line.roofline = probe_.measure(isa, pool_);
  const ProcessorTime begin = processor_time();
  std::vector<double> seconds;
  for (std::size_t i = 0; i < options_.repeat; ++i) seconds.push_back(once());
  line.stolen = stolen_share(begin, processor_time());
  line.roofline = higher(line.roofline, probe_.measure(isa, pool_));
  line.median_seconds = median(seconds);
  line.best_seconds = *std::min_element(seconds.begin(), seconds.end());
}

BenchLine Bench::prompt(std::size_t length) {
  const Tokens tokens = random_tokens(length, 0);
  // The pass whose routing is looked at. A prompt is counted as one step, whatever the chunks it is
  // fed in: its weights have to be read once.
  constexpr std::size_t kRows = 512;
  ExpertUse use(runner_.config());
  std::optional<Sequence> traced = runner_.new_sequence();
  for (std::size_t i = 0; i < length; i += kRows) {
    const std::size_t n = std::min(kRows, length - i);
    const Runner::Item item{*traced, std::span(tokens).subspan(i, n),
                            i + n == length ? Logits::screened : Logits::none};
    runner_.step({&item, 1}, &use);
    advance(item.tokens.size());
  }
  traced.reset();  // the timed passes have one context in memory, as a user's would
  const StepPart part{.position = 0, .tokens = length, .logits = 1};
  BenchLine line{.kind = BenchLine::Kind::prompt,
                 .context = length,
                 .tokens = length,
                 .cost = step_cost(runner_.model(), {&part, 1}, use, runner_.head_rows())};
  measure(line, [&] {
    Sequence sequence = runner_.new_sequence();
    const auto start = Clock::now();
    runner_.feed(sequence, tokens);
    const double seconds = seconds_since(start);
    advance(length);
    return seconds;
  });
  return line;
}

std::vector<Sequence> Bench::contexts(std::size_t depth, std::size_t batch) {
  std::vector<Sequence> out;
  for (std::size_t i = 0; i < batch; ++i) {
    if (options_.fill_cache) {
      out.push_back(runner_.synthetic_sequence(depth, options_.seed + i));
      continue;
    }
    out.push_back(runner_.new_sequence());
    std::uint64_t last = 0;
    runner_.feed(out.back(), random_tokens(depth, 2 * i + 1), [&](std::uint64_t done, auto) {
      advance(done - std::exchange(last, done));
      return true;
    });
  }
  return out;
}

double Bench::decode_once(const std::vector<Sequence>& contexts, const std::vector<Tokens>& tokens,
                          const std::function<void(std::size_t step)>& after_step, Trace* trace) {
  std::vector<Sequence> sequences;
  sequences.reserve(contexts.size());
  for (const Sequence& context : contexts) sequences.push_back(context.fork());
  double seconds = 0;
  for (std::size_t step = 0; step < options_.decode; ++step) {
    const auto start = Clock::now();
    std::vector<Runner::Item> items;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      items.push_back({sequences[i], std::span(tokens[i]).subspan(step, 1), Logits::screened});
    }
    runner_.step(items, trace);
    seconds += seconds_since(start);
    after_step(step);
    advance(items.size());
  }
  return seconds;
}

BenchLine Bench::decode(std::size_t depth, std::size_t batch) {
  const std::vector<Sequence> past = contexts(depth, batch);
  std::vector<Tokens> tokens;
  for (std::size_t i = 0; i < batch; ++i) {
    tokens.push_back(random_tokens(options_.decode, 2 * i + 2));
  }
  BenchLine line{.kind = BenchLine::Kind::decode,
                 .batch = batch,
                 .context = depth,
                 .tokens = batch * options_.decode};
  ExpertUse use(runner_.config());
  const auto count = [&](std::size_t step) {
    const std::vector<StepPart> parts(batch, {.position = depth + step, .tokens = 1, .logits = 1});
    line.cost += step_cost(runner_.model(), parts, use, runner_.head_rows());
    use.clear();
  };
  const auto nothing = [](std::size_t) {};
  decode_once(past, tokens, count, &use);
  measure(line, [&] { return decode_once(past, tokens, nothing, nullptr); });
  if (busy_ != nullptr) {
    busy_->run();
    decode_once(past, tokens, nothing, nullptr);  // the scheduler takes a while to settle
    std::vector<double> seconds;
    for (std::size_t i = 0; i < options_.repeat; ++i) {
      seconds.push_back(decode_once(past, tokens, nothing, nullptr));
    }
    busy_->pause();
    line.busy_seconds = median(seconds);
  }
  return line;
}

}  // namespace zaya
