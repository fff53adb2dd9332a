#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rsa/generator.h"

namespace zaya::rsa {

/// Something that serves OpenAI's chat completions: zaya serve, vLLM, SGLang, ...
struct Endpoint {
  std::string url;           ///< up to and with /v1: "http://host:8000/v1"
  std::string model = {};    ///< empty: the first that /models names
  std::string api_key = {};  ///< empty: none is sent
  double weight = 1.0;       ///< its share of the calls, against the others'
  std::size_t slots = 16;    ///< most calls at once
};
/// "URL[,model=NAME][,weight=NUMBER][,slots=NUMBER][,key=VARIABLE]": the key is in an environment
/// variable, so that no command line shows it. Throws Error naming what is wrong.
Endpoint parse_endpoint(std::string_view text);

struct RemoteOptions {
  std::vector<Endpoint> endpoints;
  /// Folder with the tokenizer.json of the model that they serve: tails are counted in its tokens.
  std::filesystem::path tokenizer;
  std::size_t retries = 4;  ///< of a call, after its first attempt
  /// Before the first retry; doubled for each further, up to a minute, and spread at random by
  /// half.
  std::chrono::milliseconds backoff{500};
  std::chrono::seconds timeout{6 * 3600};  ///< of one attempt
  bool thinking = true;                    ///< false: enable_thinking is sent as false
};

/// Generates at endpoints elsewhere. An attempt that fails for a reason that may pass (no
/// connection, a connection that breaks, status 408, 429 or 5xx) is repeated, at another endpoint
/// where there is one; any other refusal fails the call. Text comes when a call is done: there is
/// no progress before.
class RemoteGenerator : public Generator {
 public:
  /// Throws Error without endpoints or tokenizer. Connects to nothing yet.
  explicit RemoteGenerator(RemoteOptions options);
  ~RemoteGenerator() override;

  CallId start(Call call) override;
  void cancel(CallId call) override;
  std::size_t slots() const override;
  std::size_t count_tokens(std::string_view text) const override;
  std::string tail(std::string_view text, std::size_t tokens) const override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace zaya::rsa
