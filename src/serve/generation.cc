#include "serve/generation.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace dspark::serve {

namespace asio = boost::asio;

Generation::Generation(asio::any_io_executor executor, Worker& worker, Outbox& outbox)
    : worker_(worker), outbox_(outbox), wake_(std::move(executor)) {}

void Generation::start(std::vector<engine::Request> requests) {
  open_ = requests.size();
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto tell = [self = shared_from_this()](Event event) {
      self->outbox_.add([self, event = std::move(event)] { self->post(event); });
    };
    const int choice = static_cast<int>(i);
    tickets_.push_back(
        worker_.submit(std::move(requests[i]), {[tell, choice](const engine::Delta& delta) {
                                                  tell({choice, delta, {}});
                                                },
                                                [tell, choice](const engine::Completion& done) {
                                                  tell({choice, {}, done});
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
