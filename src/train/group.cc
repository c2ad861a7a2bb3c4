#include "train/group.h"

#include <torch/torch.h>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace dspark::train {
namespace {

constexpr std::chrono::minutes kPatience{30};  // for a process that makes features, say

const char* first_of(std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (const char* value = std::getenv(name); value != nullptr && *value) return value;
  return nullptr;
}

Result<int> number(const char* what, const char* text, int least, int most) {
  int value = 0;
  const char* end = text + std::strlen(text);
  const auto read = std::from_chars(text, end, value);
  if (read.ec != std::errc() || read.ptr != end || value < least || value > most)
    return fail("{}: \"{}\", expected {} to {}", what, text, least, most);
  return value;
}

}  // namespace

struct Group::Link {
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
};

Group::Group(int rank, int size, std::unique_ptr<Link> link)
    : rank_(rank), size_(size), link_(std::move(link)) {}
Group::Group(Group&&) noexcept = default;
Group::~Group() = default;
Group Group::alone() { return Group(0, 1, nullptr); }

Result<Group> Group::join() {
  const char* rank_text = first_of({"RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"});
  const char* size_text =
      first_of({"WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"});
  if (rank_text == nullptr || size_text == nullptr) return alone();
  DSPARK_TRY(const int size, number("number of processes", size_text, 1, 1 << 20));
  DSPARK_TRY(const int rank, number("rank", rank_text, 0, size - 1));
  if (size == 1) return alone();
  const char* host = first_of({"MASTER_ADDR"});
  const char* port_text = first_of({"MASTER_PORT"});
  if (host == nullptr || port_text == nullptr)
    return fail("{} processes: MASTER_ADDR and MASTER_PORT name where they meet", size);
  DSPARK_TRY(const int port, number("MASTER_PORT", port_text, 1, 65535));
  try {
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(port);
    options.isServer = rank == 0;
    options.numWorkers = size;
    options.timeout = kPatience;
    auto store = c10::make_intrusive<c10d::TCPStore>(host, options);
    auto gloo_options = c10d::ProcessGroupGloo::Options::create(kPatience);
    gloo_options->devices.push_back(std::strcmp(host, "127.0.0.1") == 0
                                        ? c10d::ProcessGroupGloo::createDeviceForHostname(host)
                                        : c10d::ProcessGroupGloo::createDefaultDevice());
    auto link = std::make_unique<Link>();
    link->gloo =
        c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, std::move(gloo_options));
    return Group(rank, size, std::move(link));
  } catch (const std::exception& error) {
    return fail("process {} of {}: cannot meet the others at {}:{}: {}", rank, size, host, port,
                error.what());
  }
}

double Group::sum(double value) {
  if (!link_) return value;
  std::vector<at::Tensor> list = {torch::full({1}, value, torch::kFloat64)};
  link_->gloo->allreduce(list)->wait();
  return list[0].item<double>();
}

void Group::sum(const std::vector<torch::Tensor>& tensors) {
  if (!link_) return;
  std::vector<at::Tensor> flat;
  for (const torch::Tensor& tensor : tensors)
    if (tensor.defined()) flat.push_back(tensor.flatten());
  std::vector<at::Tensor> list = {torch::cat(flat)};
  link_->gloo->allreduce(list)->wait();
  int64_t at = 0;
  for (const torch::Tensor& tensor : tensors) {
    if (!tensor.defined()) continue;
    tensor.copy_(list[0].slice(0, at, at + tensor.numel()).view_as(tensor));
    at += tensor.numel();
  }
}

void Group::wait() {
  if (link_) link_->gloo->barrier()->wait();
}

}  // namespace dspark::train
