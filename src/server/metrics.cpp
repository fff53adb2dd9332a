#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace zaya {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Registry;

Counter& counter(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}
Gauge& gauge(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}
Histogram& histogram(Registry& registry, const char* name, const char* help,
                     const Histogram::BucketBoundaries& bounds) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, bounds);
}

// Seconds; a CPU reads a long prompt in minutes and writes a token in hundredths.
const Histogram::BucketBoundaries kLong = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,   2.5,
                                           5,    10,    20,   40,  80,   160, 320, 640};
const Histogram::BucketBoundaries kShort = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075,
                                            0.1,   0.15,   0.2,   0.3,  0.5,   1,    2.5};

}  // namespace

struct Metrics::State {
  Registry registry;
  prometheus::Family<Counter>& http = prometheus::BuildCounter()
                                          .Name("zaya_http_requests_total")
                                          .Help("Answered requests")
                                          .Register(registry);
  prometheus::Family<Counter>& outputs = prometheus::BuildCounter()
                                             .Name("zaya_outputs_total")
                                             .Help("Outputs that came to an end")
                                             .Register(registry);
  Counter& prompt = counter(registry, "zaya_prompt_tokens_total", "Tokens of prompts");
  Counter& cached = counter(registry, "zaya_cached_prompt_tokens_total",
                            "Tokens of prompts that were not computed again");
  Counter& generated = counter(registry, "zaya_generated_tokens_total", "Tokens of outputs");
  Counter& preempted =
      counter(registry, "zaya_preemptions_total", "Times an output gave its memory to another");
  Histogram& first = histogram(registry, "zaya_time_to_first_token_seconds",
                               "From the call to an output's first token", kLong);
  Histogram& between = histogram(registry, "zaya_time_per_output_token_seconds",
                                 "Between two tokens of an output", kShort);
  Histogram& queue =
      histogram(registry, "zaya_queue_seconds", "Before an output's first step", kLong);
  Histogram& whole =
      histogram(registry, "zaya_output_seconds", "From the call to an output's end", kLong);
  Gauge& connections = gauge(registry, "zaya_connections", "Open connections");
  Gauge& running = gauge(registry, "zaya_outputs_running", "Outputs that hold memory");
  Gauge& waiting =
      gauge(registry, "zaya_outputs_waiting", "Outputs that wait for memory or a place");
  Gauge& pages = gauge(registry, "zaya_kv_pages", "KV pages in use, cached prefixes included");
  Gauge& bytes = gauge(registry, "zaya_kv_bytes", "Bytes of those pages");
  Gauge& budget = gauge(registry, "zaya_kv_budget_bytes", "Bytes that KV pages may take");
  Gauge& sequences = gauge(registry, "zaya_cached_sequences", "Sequences kept for their prefixes");
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

void Metrics::answered(const std::string& route, int status) {
  state_->http.Add({{"route", route}, {"status", std::to_string(status)}}).Increment();
}

void Metrics::first_token_after(double seconds) {
  state_->first.Observe(seconds);
}

void Metrics::token_after(double seconds) {
  state_->between.Observe(seconds);
}

void Metrics::choice_ended(FinishReason reason, const RequestStats& stats, double seconds) {
  state_->outputs.Add({{"reason", finish_reason_name(reason)}}).Increment();
  state_->prompt.Increment(static_cast<double>(stats.prompt_tokens));
  state_->cached.Increment(static_cast<double>(stats.cached_tokens));
  state_->generated.Increment(static_cast<double>(stats.output_tokens));
  state_->preempted.Increment(static_cast<double>(stats.preemptions));
  state_->queue.Observe(stats.queue_seconds);
  state_->whole.Observe(seconds);
}

std::string Metrics::text(const Gauges& g) {
  const auto set = [](Gauge& to, std::size_t value) { to.Set(static_cast<double>(value)); };
  set(state_->connections, g.connections);
  set(state_->running, g.running);
  set(state_->waiting, g.waiting);
  set(state_->pages, g.kv_pages);
  set(state_->bytes, g.kv_bytes);
  set(state_->budget, g.kv_budget);
  set(state_->sequences, g.cached_sequences);
  return prometheus::TextSerializer().Serialize(state_->registry.Collect());
}

}  // namespace zaya
