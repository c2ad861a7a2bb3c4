// An HTTP request as it is read: its limits, and what is refused although it can be read.
#pragma once

#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace dspark::serve {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using HttpRequest = http::request<http::string_body>;
using RequestParser = http::request_parser<http::string_body>;

inline constexpr size_t kMostHeaderBytes = 16 << 10;
// Read at once, and what a chunk's header and the trailers may have.
inline constexpr size_t kMostBufferBytes = 128 << 10;

// Larger headers and bodies are errors of reading.
void set_limits(RequestParser& parser, size_t most_body_bytes);

// Where the body ends may be seen otherwise by a proxy in front: a coding that is not read here, or
// one in a version that has none.
bool is_ambiguous(const HttpRequest& request);

}  // namespace dspark::serve
