#include <algorithm>
#include <cctype>

#include "apps/http_client.h"

namespace dspark::apps {

std::string HttpUrl::authority() const {
  const bool v6 = host.find(':') != std::string::npos;
  return fmt::format("{}:{}", v6 ? "[" + host + "]" : host, port);
}

std::string HttpUrl::text() const { return "http://" + authority() + path; }

Result<HttpUrl> parse_http_url(const std::string& text) {
  if (text.starts_with("https://"))
    return fail(
        "{}: https is not spoken here; run a local proxy that does (socat, stunnel, nginx) and "
        "give "
        "its http:// address",
        text);
  constexpr std::string_view kScheme = "http://";
  const auto bad = [&](const char* why) {
    return fail("'{}' is not a server's address, http://HOST[:PORT][/PATH]: {}", text, why);
  };
  if (!text.starts_with(kScheme)) return bad("it does not begin with http://");
  const bool printable =
      std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
  if (!printable || text.find_first_of("?#@") != std::string::npos)
    return bad("blanks, ?, # and @ are not part of one");
  HttpUrl url;
  std::string rest = text.substr(kScheme.size());
  const size_t slash = std::min(rest.find('/'), rest.size());
  url.path = rest.substr(slash);
  while (url.path.ends_with('/')) url.path.pop_back();
  if (url.path.ends_with("/v1"))
    url.path.resize(url.path.size() - 3);  // requests name it themselves
  rest.resize(slash);
  size_t colon = rest.rfind(':');
  if (rest.starts_with('[')) {  // an IPv6 address
    const size_t close = rest.find(']');
    if (close == std::string::npos) return bad("a ] is missing");
    url.host = rest.substr(1, close - 1);
    colon = close + 1 < rest.size() ? close + 1 : std::string::npos;
    if (colon != std::string::npos && rest[colon] != ':') return bad("what follows ] is no port");
  } else {
    url.host = rest.substr(0, colon);
  }
  if (url.host.empty()) return bad("the host is missing");
  url.port = colon == std::string::npos ? "80" : rest.substr(colon + 1);
  const bool digits = std::all_of(url.port.begin(), url.port.end(),
                                  [](unsigned char c) { return std::isdigit(c) != 0; });
  if (!digits || url.port.empty() || url.port.size() > 5 || std::stoi(url.port) > 65535)
    return bad("the port is not a number from 0 to 65535");
  return url;
}

}  // namespace dspark::apps
