// libtorch's headers, included before all others: glog, which they bring, has a CHECK of its own.
#pragma once

#include <torch/torch.h>

#undef CHECK
