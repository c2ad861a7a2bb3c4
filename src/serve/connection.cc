#include "serve/connection.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace dspark::serve {

using boost::system::error_code;

namespace {
constexpr auto kLingerTime = std::chrono::seconds(5);
constexpr size_t kMostLingerBytes = 64 << 20;
}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, std::chrono::seconds write_time)
    : stream_(std::move(socket)), write_time_(write_time) {
  error_code ignored;
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
}

void Connection::begin(const HttpRequest& request, std::string id, Headers headers) {
  common_ = std::move(headers);
  common_.emplace_back("X-Request-Id", id);
  record_ = {.id = std::move(id)};
  version_ = request.version();
  keep_alive_ = request.keep_alive();
  is_head_ = request.method() == http::verb::head;
  status_ = 0;
}

template <class Response>
void Connection::set_headers(Response& response, const char* type, const Headers& headers) const {
  response.version(version_);
  response.keep_alive(keep_alive_);
  response.set(http::field::server, "dspark");
  if (*type != 0) response.set(http::field::content_type, type);
  for (const Headers* list : {&common_, &headers})
    for (const auto& [name, value] : *list) response.set(name, value);
}

asio::awaitable<void> Connection::reply(int status, std::string body, const char* type,
                                        Headers headers) {
  status_ = status;
  http::response<http::string_body> response;
  response.result(static_cast<unsigned>(status));
  set_headers(response, type, headers);
  response.body() = std::move(body);
  response.prepare_payload();
  if (is_head_) response.body().clear();  // its length stays
  error_code error;
  stream_.expires_after(write_time_);
  co_await http::async_write(stream_, response, asio::redirect_error(asio::use_awaitable, error));
  if (error) lost_ = true;
}

asio::awaitable<void> Connection::reply(int status, const Json& json, Headers headers) {
  co_await reply(status, dump(json), "application/json", std::move(headers));
}

asio::awaitable<void> Connection::reply(const ApiError& error, Headers headers) {
  co_await reply(error.status, error.json(), std::move(headers));
}

asio::awaitable<void> Connection::open_events(Headers headers) {
  status_ = 200;
  chunked_ = version_ >= 11;
  if (!chunked_) keep_alive_ = false;  // the end of the connection is the end of the stream
  http::response<http::empty_body> response;
  response.result(http::status::ok);
  set_headers(response, "text/event-stream; charset=utf-8", headers);
  response.set(http::field::cache_control, "no-cache");
  response.set("X-Accel-Buffering", "no");
  if (chunked_) response.chunked(true);
  http::response_serializer<http::empty_body> serializer(response);
  error_code error;
  stream_.expires_after(write_time_);
  co_await http::async_write_header(stream_, serializer,
                                    asio::redirect_error(asio::use_awaitable, error));
  if (error) lost_ = true;
}

asio::awaitable<void> Connection::events(std::string text) {
  if (lost_ || text.empty()) co_return;
  error_code error;
  stream_.expires_after(write_time_);
  const asio::const_buffer data = asio::buffer(text);
  if (chunked_)
    co_await asio::async_write(stream_, http::make_chunk(data),
                               asio::redirect_error(asio::use_awaitable, error));
  else
    co_await asio::async_write(stream_, data, asio::redirect_error(asio::use_awaitable, error));
  if (error) lost_ = true;
}

asio::awaitable<void> Connection::close_events() {
  if (lost_ || !chunked_) co_return;
  error_code error;
  stream_.expires_after(write_time_);
  co_await asio::async_write(stream_, http::make_chunk_last(),
                             asio::redirect_error(asio::use_awaitable, error));
  if (error) lost_ = true;
}

void Connection::watch(std::function<void()> gone) {
  watching_ = std::make_shared<bool>(true);
  stream_.socket().async_wait(asio::ip::tcp::socket::wait_read,
                              [this, on = watching_, gone = std::move(gone)](error_code error) {
                                if (!*on || error) return;
                                *on = false;
                                char byte = 0;
                                error_code failure;
                                stream_.socket().non_blocking(true, failure);
                                const size_t n = stream_.socket().receive(
                                    asio::buffer(&byte, 1), asio::ip::tcp::socket::message_peek,
                                    failure);
                                if (failure == asio::error::would_block || (!failure && n > 0))
                                  return;  // its next request
                                gone();
                              });
}

void Connection::unwatch() {
  if (!*watching_) return;
  *watching_ = false;
  error_code ignored;
  stream_.socket().cancel(ignored);
}

asio::awaitable<void> Connection::linger() {
  error_code error;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, error);
  std::vector<char> ignored(64 << 10);
  stream_.expires_after(kLingerTime);
  for (size_t read = 0; !error && read < kMostLingerBytes;)
    read += co_await stream_.async_read_some(asio::buffer(ignored),
                                             asio::redirect_error(asio::use_awaitable, error));
}

void Connection::close() {
  *watching_ = false;
  keep_alive_ = false;
  error_code ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  stream_.close();
}

}  // namespace dspark::serve
