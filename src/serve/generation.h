// A job under way: its choices run in the engine, and what becomes of them arrives here in order.
#pragma once

#include <utility>  // boost/asio/awaitable.hpp forgets it

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <optional>

#include "serve/api_request.h"
#include "serve/outbox.h"
#include "worker/worker.h"

namespace dspark::serve {

using worker::Worker;

// Lives on the server's thread; shared with the engine's, whose news it is posted.
class Generation : public std::enable_shared_from_this<Generation> {
 public:
  struct Event {
    int choice = 0;
    std::optional<engine::Delta> delta;
    std::optional<engine::Completion> completion;
  };

  Generation(boost::asio::any_io_executor executor, Worker& worker, Outbox& outbox);
  void start(std::vector<engine::Request> requests);
  // The next thing that happened; nothing once it was cancelled or all choices are complete.
  boost::asio::awaitable<std::optional<Event>> next();
  bool has_news() const { return !events_.empty(); }  // next() gives an event at once
  void cancel();

 private:
  void post(Event event);

  Worker& worker_;
  Outbox& outbox_;
  boost::asio::steady_timer wake_;
  std::deque<Event> events_;
  std::vector<Worker::Ticket> tickets_;
  size_t open_ = 0;  // choices that are not complete
  bool cancelled_ = false;
};

}  // namespace dspark::serve
