// Private to the room verify: the logistic function, without overflow and with the same bits
// everywhere.
#pragma once

#include "base/base.h"

namespace dspark::verify {

inline double sigmoid(double x) { return 1 / (1 + real_exp(-x)); }  // 0 below -709

}  // namespace dspark::verify
