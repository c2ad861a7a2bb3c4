#include "serve/generation.h"

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace dspark::serve {

namespace asio = boost::asio;

Generation::Generation(asio::any_io_executor executor, Worker& worker)
    : executor_(executor), worker_(worker), wake_(executor) {}

void Generation::start(std::vector<engine::Request> requests) {
  open_ = requests.size();
  for (size_t i = 0; i < requests.size(); ++i) {
    const int choice = static_cast<int>(i);
    const auto self = shared_from_this();
    const auto post_event = [self](Event event) {
      asio::post(self->executor_,
                 [self, event = std::move(event)]() mutable { self->post(std::move(event)); });
    };
    tickets_.push_back(worker_.submit(std::move(requests[i]),
                                      {[post_event, choice](const engine::Delta& delta) {
                                         post_event({choice, delta, {}});
                                       },
                                       [post_event, choice](const engine::Completion& done) {
                                         post_event({choice, {}, done});
                                       }}));
  }
}

void Generation::post(Event event) {
  events_.push_back(std::move(event));
  wake_.cancel();
}

asio::awaitable<std::optional<Generation::Event>> Generation::next() {
  while (events_.empty() && open_ > 0 && !cancelled_) {
    wake_.expires_at(asio::steady_timer::time_point::max());
    boost::system::error_code woken;
    co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  }
  if (cancelled_ || events_.empty()) co_return std::nullopt;
  Event event = std::move(events_.front());
  events_.pop_front();
  if (event.completion) --open_;
  co_return event;
}

void Generation::cancel() {
  if (cancelled_) return;
  cancelled_ = true;
  for (const Worker::Ticket ticket : tickets_) worker_.cancel(ticket);
  wake_.cancel();
}

}  // namespace dspark::serve
