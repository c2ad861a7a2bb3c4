// An HTTP/1.1 client for many requests at once on one thread: plain http, bodies of JSON.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/base.h"

namespace dspark::apps {

// http://HOST[:PORT][/PATH]
struct HttpUrl {
  std::string host, port, path;   // path: empty, or from its / on and without one at its end
  std::string authority() const;  // HOST:PORT
  std::string text() const;       // as it would be written
};
// Refuses https, and says what to do instead.
Result<HttpUrl> parse_http_url(const std::string& text);

struct HttpReply {
  int status = 0;  // 0: there was no answer
  std::string body;
  std::string error;         // why there was none
  double retry_after_s = 0;  // as the server asks
};
using OnReply = std::function<void(HttpReply reply)>;

class HttpConnection;

// Runs what its connections wait for.
class HttpLoop {
 public:
  HttpLoop();
  ~HttpLoop();
  // Callbacks are called from here; a connection's may use it for its next request.
  void run_for(std::chrono::milliseconds time);
  void after(std::chrono::milliseconds time, std::function<void()> call);

 private:
  friend class HttpConnection;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// One request at a time; the connection is kept between them where the server allows it.
class HttpConnection {
 public:
  // bearer: sent as authorisation unless empty. The loop outlives the connection.
  HttpConnection(HttpLoop& loop, HttpUrl url, std::string bearer, std::chrono::seconds timeout);
  ~HttpConnection();

  const HttpUrl& url() const;
  // target: behind the URL's own path ("/v1/models").
  void get(const std::string& target, OnReply on_reply);
  void post(const std::string& target, std::string body, OnReply on_reply);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace dspark::apps
