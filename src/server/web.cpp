#include "server/web.h"

#include <algorithm>
#include <array>
#include <string>

#include "server/api_error.h"

namespace zaya {
namespace {

std::string_view content_type(std::string_view path) {
  struct Named {
    std::string_view ending;
    std::string_view type;
  };
  static constexpr std::array kTypes = std::to_array<Named>({
      {"/", "text/html; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".svg", "image/svg+xml"},
      {".woff2", "font/woff2"},
      {".txt", "text/plain; charset=utf-8"},
  });
  const auto found = std::find_if(kTypes.begin(), kTypes.end(),
                                  [&](const Named& n) { return path.ends_with(n.ending); });
  return found == kTypes.end() ? "application/octet-stream" : found->type;
}

// The page runs under this policy in its own tests too (web/README.md).
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

}  // namespace

HttpResponse web_response(const HttpRequest& request) {
  const auto files = web_files();
  const auto file = std::find_if(files.begin(), files.end(),
                                 [&](const WebFile& f) { return f.path == request.path; });
  if (file == files.end()) {
    throw ApiError({.status = 404,
                    .message = files.empty() ? "this program was built without the web page"
                                             : "there is no such file"});
  }
  HttpResponse response{.content_type = std::string(content_type(file->path))};
  response.headers = {
      {"ETag", std::string(file->tag)},
      // Names below assets carry a hash of what is in the file.
      {"Cache-Control",
       file->path.starts_with("/assets/") ? "public, max-age=31536000, immutable" : "no-cache"},
      {"Vary", "Accept-Encoding"},
      {"Content-Security-Policy", kPolicy},
      {"Referrer-Policy", "no-referrer"}};
  if (request.header("If-None-Match").find(file->tag) != std::string_view::npos) {
    response.status = 304;
    return response;
  }
  const bool packed = !file->packed.empty() &&
                      request.header("Accept-Encoding").find("gzip") != std::string_view::npos;
  if (packed) response.headers.emplace_back("Content-Encoding", "gzip");
  response.body = std::string(packed ? file->packed : file->bytes);
  return response;
}

}  // namespace zaya
