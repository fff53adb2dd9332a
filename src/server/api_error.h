#pragma once

#include <optional>
#include <stdexcept>
#include <string>

#include "base/json.h"
#include "server/http.h"
#include "zaya/error.h"

namespace zaya {

/// What is wrong with a call of the API, for its caller.
class ApiError : public std::runtime_error {
 public:
  struct Detail {
    int status = 400;
    std::string message;
    std::string param = {};               ///< the parameter at fault; may be empty
    std::string code = {};                ///< OpenAI's word for it; may be empty
    std::optional<int> retry_after = {};  ///< seconds
  };

  explicit ApiError(Detail detail)
      : std::runtime_error(detail.message), detail_(std::move(detail)) {}
  const Detail& detail() const { return detail_; }

 private:
  Detail detail_;
};

/// An error of the engine or of a template that the request has caused: 400, with the parameter
/// where the error names one.
ApiError from_request(const Error& error);

/// Who reads the errors: clients of OpenAI's API or of Anthropic's.
enum class Dialect { openai, anthropic };

/// {"error": {"message", "type", "param", "code"}}; Anthropic's has its own shape.
Json error_json(const ApiError::Detail& error, Dialect dialect);
HttpResponse error_response(const ApiError::Detail& error, Dialect dialect);

/// JSON as it goes over the wire; text that is not UTF-8 is mended.
std::string to_wire(const Json& json);

}  // namespace zaya
