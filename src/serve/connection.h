// One client's connection: replies, event streams, and whether anybody is still there.
#pragma once

#include <utility>  // boost/asio/awaitable.hpp forgets it

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "serve/fields.h"
#include "serve/http_request.h"

namespace dspark::serve {

namespace asio = boost::asio;
using Headers = std::vector<std::pair<std::string, std::string>>;

// The request at hand, for limits and the log.
struct CallRecord {
  std::string id;  // also in every reply's X-Request-Id
  int key = -1;    // which API key it came with; -1: none
  int64_t prompt_tokens = 0, tokens = 0;
};

class Connection {
 public:
  Connection(asio::ip::tcp::socket socket, std::chrono::seconds write_time);

  beast::tcp_stream& stream() { return stream_; }
  // Headers of every reply to the request at hand.
  void begin(const HttpRequest& request, std::string id, Headers headers);
  CallRecord& record() { return record_; }

  asio::awaitable<void> reply(int status, std::string body, const char* type, Headers headers = {});
  asio::awaitable<void> reply(int status, const Json& json, Headers headers = {});
  asio::awaitable<void> reply(const ApiError& error, Headers headers = {});

  // A stream of server-sent events: the header, events (as text, several at a time), the end.
  asio::awaitable<void> open_events(Headers headers);
  asio::awaitable<void> events(std::string text);
  asio::awaitable<void> close_events();

  // Calls `gone` when the client closes the connection, until unwatch().
  void watch(std::function<void()> gone);
  void unwatch();

  bool lost() const { return lost_; }  // nothing can be written any more
  bool keeps_alive() const { return keep_alive_ && !lost_; }
  int status() const { return status_; }  // of the last reply
  void close();
  // After a reply to a request that was not read to its end: reads on for a while, so that the
  // client sees the reply and not a broken connection.
  asio::awaitable<void> linger();

 private:
  template <class Response>
  void set_headers(Response& response, const char* type, const Headers& headers) const;

  beast::tcp_stream stream_;
  std::chrono::seconds write_time_;
  Headers common_;
  CallRecord record_;
  unsigned version_ = 11;
  bool keep_alive_ = false, is_head_ = false, lost_ = false, chunked_ = true;
  int status_ = 0;
  std::shared_ptr<bool> watching_ = std::make_shared<bool>(false);
};

}  // namespace dspark::serve
