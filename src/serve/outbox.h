// News on their way from the engine's thread to the server's.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <utility>
#include <vector>

namespace dspark::serve {

// Gathers while a step goes on and posts all at once behind it: the server's thread, which takes a
// CPU from the engine's, wakes once a step and not once a token. Used on the engine's thread.
class Outbox {
 public:
  using News = std::function<void()>;  // called on the server's thread

  explicit Outbox(boost::asio::any_io_executor server) : server_(std::move(server)) {}

  void add(News news) { gathered_.push_back(std::move(news)); }
  void send() {
    if (gathered_.empty()) return;
    boost::asio::post(server_, [all = std::exchange(gathered_, {})] {
      for (const News& news : all) news();
    });
  }

 private:
  boost::asio::any_io_executor server_;
  std::vector<News> gathered_;
};

}  // namespace dspark::serve
