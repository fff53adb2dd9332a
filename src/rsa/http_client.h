#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

namespace zaya::rsa {

struct HttpReply {
  long status = 0;  ///< 0: there was no reply
  std::string body = {};
  std::string error = {};  ///< why there was none
};

/// One HTTP request by libcurl, on this thread. `body` empty: a GET. Ends early when `stop` becomes
/// true. Replies above 256 MiB are refused; redirects are not followed.
HttpReply http_request(const std::string& url, const std::string& body,
                       const std::vector<std::string>& headers, std::chrono::seconds timeout,
                       const std::atomic<bool>& stop);

}  // namespace zaya::rsa
