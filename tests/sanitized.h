// Whether this program runs under a sanitizer: its time bounds and sample sizes are other ones.
#pragma once

namespace dspark::testing {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace dspark::testing
