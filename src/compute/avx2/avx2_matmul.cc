// Matrix products without VNNI. vpmaddubsw adds pairs into int16, so codes of at most 63 meet
// signed q directly (and few enough sums stay in int16: 8 quads of 4-bit codes, 4 of 5-bit, 2 of
// 6-bit), while 8-bit codes go as |w| times q with w's sign: |w| <= 128, |q| <= 127, a pair at most
// 32512.
#include <immintrin.h>

#include "compute/avx2/avx2.h"

namespace dspark::compute {
namespace {

constexpr int kNibbleBytes = kTileRows * kGroup / 2;
constexpr int kLanes = 8;  // a tile is done in two halves of 8 outputs
constexpr int kChunk = 4;  // rows at a time

struct Scales {
  __m256 scale[2], minimum;
};

inline __m256 halves(const uint8_t* at) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}
inline __m128i load_8(const uint8_t* at) {
  return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
}
inline __m256 bytes_to_floats(const uint8_t* at) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load_8(at)));
}
inline __m256 signed_bytes_to_floats(const uint8_t* at) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_8(at)));
}
inline __m256i load_32(const uint8_t* at) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}
inline void store_32(uint8_t* at, __m256i v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), v);
}

// Codes of one half tile: [j][8 lanes][4]. at: the group's codes; half: 0 or 1.
inline void unpack_nibbles(const uint8_t* at, int half, uint8_t* codes) {
  const __m256i mask = _mm256_set1_epi8(15);
  for (int j = 0; j < 4; ++j) {
    const __m256i both = load_32(at + 64 * j + 32 * half);
    store_32(codes + 32 * j, _mm256_and_si256(both, mask));
    store_32(codes + 32 * (j + 4), _mm256_and_si256(_mm256_srli_epi16(both, 4), mask));
  }
}
inline void add_high_bits(const uint8_t* at, int half, uint8_t* codes) {
  const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,  //
                                          2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
  for (int j = 0; j < 8; ++j) {
    int32_t bits;
    __builtin_memcpy(&bits, at + 8 * j + 4 * half, 4);
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), spread);
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
    store_32(codes + 32 * j,
             _mm256_or_si256(load_32(codes + 32 * j), _mm256_and_si256(set, _mm256_set1_epi8(16))));
  }
}
inline void add_high_pairs(const uint8_t* at, int half, uint8_t* codes) {
  const __m256i mask = _mm256_set1_epi8(0x30);
  for (int k = 0; k < 2; ++k) {
    const __m256i pairs = load_32(at + 64 * k + 32 * half);
    const __m256i parts[4] = {_mm256_slli_epi16(pairs, 4), _mm256_slli_epi16(pairs, 2), pairs,
                              _mm256_srli_epi16(pairs, 2)};
    for (int i = 0; i < 4; ++i) {
      uint8_t* out = codes + 32 * (k + 2 * i);
      store_32(out, _mm256_or_si256(load_32(out), _mm256_and_si256(parts[i], mask)));
    }
  }
}

struct Q4_0 {
  static constexpr bool kMinimum = false, kHalves = false, kSigned = false;
  static constexpr int kOffset = 8, kSums = 8, kHead = 0, kUnit = kNibbleBytes + 32;
  static inline void read(const uint8_t*, const uint8_t* at, int half, uint8_t* codes, Scales& s) {
    unpack_nibbles(at, half, codes);
    s.scale[0] = halves(at + kNibbleBytes + 16 * half);
  }
};
struct Q4_1 {
  static constexpr bool kMinimum = true, kHalves = false, kSigned = false;
  static constexpr int kOffset = 0, kSums = 8, kHead = 0, kUnit = kNibbleBytes + 64;
  static inline void read(const uint8_t*, const uint8_t* at, int half, uint8_t* codes, Scales& s) {
    unpack_nibbles(at, half, codes);
    s.scale[0] = halves(at + kNibbleBytes + 16 * half);
    s.minimum = halves(at + kNibbleBytes + 32 + 16 * half);
  }
};
struct Q5_0 {
  static constexpr bool kMinimum = false, kHalves = false, kSigned = false;
  static constexpr int kOffset = 16, kSums = 4, kHead = 0, kUnit = kNibbleBytes + 96;
  static inline void read(const uint8_t*, const uint8_t* at, int half, uint8_t* codes, Scales& s) {
    unpack_nibbles(at, half, codes);
    add_high_bits(at + kNibbleBytes, half, codes);
    s.scale[0] = halves(at + kNibbleBytes + 64 + 16 * half);
  }
};
struct Q5_1 {
  static constexpr bool kMinimum = true, kHalves = false, kSigned = false;
  static constexpr int kOffset = 0, kSums = 4, kHead = 0, kUnit = kNibbleBytes + 128;
  static inline void read(const uint8_t*, const uint8_t* at, int half, uint8_t* codes, Scales& s) {
    unpack_nibbles(at, half, codes);
    add_high_bits(at + kNibbleBytes, half, codes);
    s.scale[0] = halves(at + kNibbleBytes + 64 + 16 * half);
    s.minimum = halves(at + kNibbleBytes + 96 + 16 * half);
  }
};
struct Q8_0 {
  static constexpr bool kMinimum = false, kHalves = false, kSigned = true;
  static constexpr int kOffset = 0, kSums = 1, kHead = 0, kUnit = 2 * kNibbleBytes + 32;
  static inline void read(const uint8_t*, const uint8_t* at, int half, uint8_t* codes, Scales& s) {
    const __m256i flip = _mm256_set1_epi8(static_cast<char>(0x80));
    for (int j = 0; j < 8; ++j)
      store_32(codes + 32 * j, _mm256_xor_si256(load_32(at + 64 * j + 32 * half), flip));
    s.scale[0] = halves(at + 2 * kNibbleBytes + 16 * half);
  }
};
template <bool kFive>
struct Q45_K {
  static constexpr bool kMinimum = true, kHalves = false, kSigned = false;
  static constexpr int kOffset = 0, kSums = kFive ? 4 : 8, kHead = 64;
  static constexpr int kUnit = kNibbleBytes + 32 + (kFive ? 64 : 0);
  static inline void read(const uint8_t* super, const uint8_t* at, int half, uint8_t* codes,
                          Scales& s) {
    unpack_nibbles(at + 32, half, codes);
    if (kFive) add_high_bits(at + 32 + kNibbleBytes, half, codes);
    s.scale[0] = _mm256_mul_ps(halves(super + 16 * half), bytes_to_floats(at + 8 * half));
    s.minimum = _mm256_xor_ps(
        _mm256_mul_ps(halves(super + 32 + 16 * half), bytes_to_floats(at + 16 + 8 * half)),
        _mm256_set1_ps(-0.0f));
  }
};
struct Q6_K {
  static constexpr bool kMinimum = false, kHalves = true, kSigned = false;
  static constexpr int kOffset = 32, kSums = 2, kHead = 32, kUnit = kNibbleBytes + 160;
  static inline void read(const uint8_t* super, const uint8_t* at, int half, uint8_t* codes,
                          Scales& s) {
    unpack_nibbles(at + 32, half, codes);
    add_high_pairs(at + 32 + kNibbleBytes, half, codes);
    const __m256 d = halves(super + 16 * half);
    s.scale[0] = _mm256_mul_ps(d, signed_bytes_to_floats(at + 8 * half));
    s.scale[1] = _mm256_mul_ps(d, signed_bytes_to_floats(at + 16 + 8 * half));
  }
};

inline __m256i quad(const ActivationGroup& x, int j) {
  int32_t bytes;
  __builtin_memcpy(&bytes, x.q + 4 * j, 4);
  return _mm256_set1_epi32(bytes);
}

// Integer dot products of quads [j, j + count) in 8 lanes, from `start`.
template <class Type, int kCount>
inline __m256i dot_quads(int32_t start, const uint8_t* codes, const ActivationGroup& x, int j) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i dot = _mm256_set1_epi32(start);
  for (int k = 0; k < kCount; k += Type::kSums) {
    __m256i pairs = _mm256_setzero_si256();
    for (int i = 0; i < Type::kSums; ++i) {
      const __m256i w = load_32(codes + 32 * (j + k + i)), q = quad(x, j + k + i);
      const __m256i product = Type::kSigned
                                  ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w))
                                  : _mm256_maddubs_epi16(w, q);
      pairs = _mm256_add_epi16(pairs, product);
    }
    dot = _mm256_add_epi32(dot, _mm256_madd_epi16(pairs, ones));
  }
  return dot;
}

template <class Type>
inline __m256 accumulate(const uint8_t* codes, const Scales& s, const ActivationGroup& x,
                         __m256 acc) {
  const __m256 scale = _mm256_set1_ps(x.scale);
  if (Type::kHalves) {
    const __m256i low = dot_quads<Type, 4>(x.neg_sum_low * Type::kOffset, codes, x, 0);
    const __m256i high =
        dot_quads<Type, 4>((x.neg_sum - x.neg_sum_low) * Type::kOffset, codes, x, 4);
    acc = _mm256_fmadd_ps(_mm256_mul_ps(s.scale[0], scale), _mm256_cvtepi32_ps(low), acc);
    return _mm256_fmadd_ps(_mm256_mul_ps(s.scale[1], scale), _mm256_cvtepi32_ps(high), acc);
  }
  const __m256i dot = dot_quads<Type, 8>(x.neg_sum * Type::kOffset, codes, x, 0);
  acc = _mm256_fmadd_ps(_mm256_mul_ps(s.scale[0], scale), _mm256_cvtepi32_ps(dot), acc);
  if (Type::kMinimum) acc = _mm256_fmadd_ps(s.minimum, _mm256_set1_ps(x.sum), acc);
  return acc;
}

// Half a tile for the rows of a block.
template <class Type>
void half_product(const uint8_t* tile, int half, const ActivationGroup* x, int rows, int64_t groups,
                  float* out, int64_t out_stride) {
  __m256 acc[kBlockRows];
  for (int r = 0; r < rows; ++r) acc[r] = _mm256_setzero_ps();
  const uint8_t* super = tile;
  for (int64_t g = 0; g < groups; ++g, tile += Type::kUnit, x += rows) {
    if (Type::kHead > 0 && g % kSuperGroups == 0) super = tile, tile += Type::kHead;
    alignas(32) uint8_t codes[8 * 32];
    Scales scales;
    Type::read(super, tile, half, codes, scales);
    for (int r = 0; r < rows; ++r) acc[r] = accumulate<Type>(codes, scales, x[r], acc[r]);
  }
  for (int r = 0; r < rows; ++r) _mm256_storeu_ps(out + r * out_stride + kLanes * half, acc[r]);
}

template <class Type>
void quantised_matmul(const PackedMatrix& w, const ActivationView& x, int64_t tile_begin,
                      int64_t tile_end, float* out, int64_t out_stride) {
  const int64_t groups = w.columns / kGroup;
  const auto tile_bytes = static_cast<int64_t>(w.tile_bytes());
  for (int64_t t = tile_begin; t < tile_end; ++t)
    for (int first = 0; first < x.rows; first += kBlockRows) {
      const int rows = x.rows - first < kBlockRows ? x.rows - first : kBlockRows;
      for (int half = 0; half < 2; ++half)
        half_product<Type>(w.data + t * tile_bytes, half, x.groups + first * groups, rows, groups,
                           out + first * out_stride + t * kTileRows, out_stride);
    }
}

inline __m256 read_floats(DType type, const uint8_t* at, int half) {
  if (type == DType::kF32)
    return _mm256_loadu_ps(reinterpret_cast<const float*>(at) + kLanes * half);
  if (type == DType::kF16) return halves(at + 16 * half);
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + 16 * half));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

// kRows rows of a block of `stride` rows, one tile.
template <DType kType, int kRows>
void float_rows(const uint8_t* tile, const float* x, int64_t stride, int64_t columns, float* out,
                int64_t out_stride) {
  __m256 acc[2][kRows];
  for (int h = 0; h < 2; ++h)
    for (int r = 0; r < kRows; ++r) acc[h][r] = _mm256_setzero_ps();
  constexpr int kUnit = kType == DType::kF32 ? 64 : 32;
  for (int64_t c = 0; c < columns; ++c, tile += kUnit, x += stride)
    for (int h = 0; h < 2; ++h) {
      const __m256 w = read_floats(kType, tile, h);
      for (int r = 0; r < kRows; ++r)
        acc[h][r] = _mm256_fmadd_ps(w, _mm256_set1_ps(x[r]), acc[h][r]);
    }
  for (int h = 0; h < 2; ++h)
    for (int r = 0; r < kRows; ++r) _mm256_storeu_ps(out + r * out_stride + kLanes * h, acc[h][r]);
}

template <DType kType>
void float_matmul(const PackedMatrix& w, const ActivationView& x, int64_t tile_begin,
                  int64_t tile_end, float* out, int64_t out_stride) {
  const auto tile_bytes = static_cast<int64_t>(w.tile_bytes());
  for (int64_t t = tile_begin; t < tile_end; ++t)
    for (int first = 0; first < x.rows; first += kBlockRows) {
      const int rows = x.rows - first < kBlockRows ? x.rows - first : kBlockRows;
      for (int r = 0; r < rows;) {
        const bool chunk = rows - r >= kChunk;
        (chunk ? float_rows<kType, kChunk>
               : float_rows<kType, 1>)(w.data + t * tile_bytes, x.floats + first * x.columns + r,
                                       rows, w.columns,
                                       out + (first + r) * out_stride + t * kTileRows, out_stride);
        r += chunk ? kChunk : 1;
      }
    }
}

}  // namespace

void avx2_matmul(const PackedMatrix& w, const ActivationView& x, int64_t tile_begin,
                 int64_t tile_end, float* out, int64_t out_stride) {
  switch (w.type) {
    case DType::kF32:
      return float_matmul<DType::kF32>(w, x, tile_begin, tile_end, out, out_stride);
    case DType::kF16:
      return float_matmul<DType::kF16>(w, x, tile_begin, tile_end, out, out_stride);
    case DType::kBF16:
      return float_matmul<DType::kBF16>(w, x, tile_begin, tile_end, out, out_stride);
    case DType::kQ4_0:
      return quantised_matmul<Q4_0>(w, x, tile_begin, tile_end, out, out_stride);
    case DType::kQ4_1:
      return quantised_matmul<Q4_1>(w, x, tile_begin, tile_end, out, out_stride);
    case DType::kQ5_0:
      return quantised_matmul<Q5_0>(w, x, tile_begin, tile_end, out, out_stride);
    case DType::kQ5_1:
      return quantised_matmul<Q5_1>(w, x, tile_begin, tile_end, out, out_stride);
    case DType::kQ8_0:
      return quantised_matmul<Q8_0>(w, x, tile_begin, tile_end, out, out_stride);
    case DType::kQ4_K:
      return quantised_matmul<Q45_K<false>>(w, x, tile_begin, tile_end, out, out_stride);
    case DType::kQ5_K:
      return quantised_matmul<Q45_K<true>>(w, x, tile_begin, tile_end, out, out_stride);
    case DType::kQ6_K:
      return quantised_matmul<Q6_K>(w, x, tile_begin, tile_end, out, out_stride);
    default:
      return;
  }
}

}  // namespace dspark::compute
