"""Prints the golden values of tests/kernels/noise_test.cc: the sampling noise of a few keys, from the
integers that src/sample/noise.h describes, with 50 digits."""
from decimal import Decimal, getcontext

getcontext().prec = 50
WORD = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15


def mix(x):
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & WORD
    return x ^ (x >> 31)


def gumbel(seed, position, token):
    top = mix((mix((seed + STEP) & WORD) + position * STEP) & WORD)
    low = mix(top ^ 0x6A09E667F3BCC909)
    byte = mix((top + (token // 8 + 1) * STEP) & WORD) >> (8 * (token % 8)) & 0xFF
    rest = mix((low + (token + 1) * STEP) & WORD) >> 19
    complement = (byte << 45 | rest) | 1
    u = 1 - Decimal(complement) / (1 << 53)
    return -(-u.ln()).ln()


for key in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (42, 17, 49151), (WORD, 131071, 151935),
            (123456789, 2**40, 2**31 - 1)]:
    print("{%du, %d, %d, %s}," % (*key, str(gumbel(*key))[:22]))
