#pragma once

#include <span>
#include <string_view>

#include "server/http.h"

namespace zaya {

/// A file of the web page, as the build has put it into the program.
struct WebFile {
  std::string_view path;  ///< of the request: "/", "/assets/app-1A2B.js"
  std::string_view bytes;
  std::string_view packed;  ///< by gzip; empty where that gains nothing
  std::string_view tag;     ///< for If-None-Match: a hash of the bytes, quoted
};

/// All files; none when the program was built without the page (ZAYA_WEB).
std::span<const WebFile> web_files();

/// The file of a request's path, with what browsers need to know of it: type, caching, and a policy
/// that lets the page talk to nobody but this server. 404 for a path that is none.
HttpResponse web_response(const HttpRequest& request);

}  // namespace zaya
