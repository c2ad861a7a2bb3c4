// Whether this program runs under a sanitizer: its time bounds and sample sizes are other ones.
#pragma once

#if defined(__has_feature)  // clang
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define DSPARK_SANITIZED true
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)  // GCC
#define DSPARK_SANITIZED true
#endif
#ifndef DSPARK_SANITIZED
#define DSPARK_SANITIZED false
#endif

namespace dspark::testing {

inline constexpr bool kSanitized = DSPARK_SANITIZED;

}  // namespace dspark::testing
