// exp, log, sin and cos in double from IEEE operations alone, so that every machine gets the same
// bits (no libm between token ids and the sampled token). Relative error about 1e-15.
#pragma once

namespace dspark {

double real_exp(double x);  // 0 below -745, +inf above 709.78
double real_log(double x);  // x > 0 finite; -inf for 0, NaN below
// |x| < 1e6: angles of rotary embeddings.
void real_sin_cos(double x, double* sine, double* cosine);

}  // namespace dspark
