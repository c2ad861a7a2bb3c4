#include "serve/http_request.h"

namespace dspark::serve {

void set_limits(RequestParser& parser, size_t most_body_bytes) {
  parser.header_limit(kMostHeaderBytes);
  parser.body_limit(most_body_bytes);
}

bool is_ambiguous(const HttpRequest& request) {
  const auto coding = request.find(http::field::transfer_encoding);
  return coding != request.end() &&
         (request.version() < 11 || !beast::iequals(coding->value(), "chunked"));
}

}  // namespace dspark::serve
