"""libdspark as ctypes sees it: dspark.h, struct by struct and function by function."""

import ctypes
import os
import pathlib
from ctypes import (CFUNCTYPE, POINTER, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_uint32,
                    c_uint64, c_void_p)

ABI_VERSION = 1
ERROR_REQUEST = 3


class DsparkError(RuntimeError):
    """A call of the library that failed. `code` is its dspark_code."""

    NAMES = {1: "argument", 2: "load", 3: "request", 4: "state", 5: "memory", 6: "internal"}

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = self.NAMES.get(code, str(code))


class Sized(ctypes.Structure):
    """A struct that begins with its own size, which is filled in."""

    def __init__(self, **fields):
        super().__init__(struct_size=ctypes.sizeof(type(self)), **fields)


class EngineOptions(Sized):
    _fields_ = [("struct_size", c_size_t), ("model", c_char_p), ("drafter", c_char_p), ("planner", c_char_p),
                ("verify", c_char_p), ("isa", c_char_p), ("threads", c_int32), ("max_running", c_int32),
                ("context", c_int64), ("cache_bytes", c_int64), ("prefix_bytes", c_int64)]


class LogitBias(ctypes.Structure):
    _fields_ = [("id", c_int32), ("bias", c_float)]


class Request(Sized):
    _fields_ = [("struct_size", c_size_t), ("text", c_char_p), ("text_bytes", c_size_t), ("raw", c_int32),
                ("chat", c_char_p), ("ids", POINTER(c_int32)), ("id_count", c_size_t), ("max_tokens", c_int32),
                ("ignore_eos", c_int32), ("stop", POINTER(c_char_p)), ("stop_count", c_size_t),
                ("temperature", c_float), ("top_p", c_float), ("min_p", c_float), ("repeat_penalty", c_float),
                ("presence_penalty", c_float), ("frequency_penalty", c_float), ("top_k", c_int32),
                ("no_draft", c_int32), ("seed", c_uint64), ("logit_bias", POINTER(LogitBias)),
                ("logit_bias_count", c_size_t), ("draft_max", c_int32)]


class Delta(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("ids", POINTER(c_int32)), ("id_count", c_size_t),
                ("text", c_void_p), ("text_bytes", c_size_t)]


class Cycle(ctypes.Structure):
    _fields_ = [("drafted", c_int32), ("verified", c_int32), ("accepted", c_int32)]


class Result(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("finish", c_int), ("error", c_char_p), ("ids", POINTER(c_int32)),
                ("id_count", c_size_t), ("text", c_void_p), ("text_bytes", c_size_t), ("cycles", POINTER(Cycle)),
                ("cycle_count", c_size_t), ("prompt_tokens", c_int64), ("cached_tokens", c_int64),
                ("drafted", c_int64), ("verified", c_int64), ("accepted", c_int64), ("prefill_ms", c_double),
                ("decode_ms", c_double)]


OnDelta = CFUNCTYPE(c_int, c_void_p, POINTER(Delta))
OnFinished = CFUNCTYPE(None, c_void_p, POINTER(Result))


class Callbacks(Sized):
    _fields_ = [("struct_size", c_size_t), ("user", c_void_p), ("on_delta", OnDelta), ("on_finished", OnFinished)]


FUNCTIONS = {
    "dspark_abi_version": (c_uint32, []),
    "dspark_version": (c_char_p, []),
    "dspark_last_error": (c_char_p, []),
    "dspark_free": (None, [c_void_p]),
    "dspark_open": (c_int, [POINTER(EngineOptions), POINTER(c_void_p)]),
    "dspark_close": (c_int, [c_void_p]),
    "dspark_info": (c_char_p, [c_void_p]),
    "dspark_state": (c_int, [c_void_p, POINTER(c_void_p)]),
    "dspark_tokenize": (c_int, [c_void_p, c_char_p, c_size_t, c_int, POINTER(POINTER(c_int32)),
                                POINTER(c_size_t)]),
    "dspark_detokenize": (c_int, [c_void_p, POINTER(c_int32), c_size_t, c_int, POINTER(c_void_p),
                                  POINTER(c_size_t)]),
    "dspark_render": (c_int, [c_void_p, c_char_p, POINTER(c_void_p), POINTER(c_size_t)]),
    "dspark_submit": (c_int, [c_void_p, POINTER(Request), POINTER(Callbacks), POINTER(c_uint64)]),
    "dspark_cancel": (c_int, [c_void_p, c_uint64]),
}


def load() -> ctypes.CDLL:
    """The library: $DSPARK_LIBRARY, else the one inside this package (a wheel has it), else the system's."""
    name = f"libdspark.so.{ABI_VERSION}"
    beside = pathlib.Path(__file__).parent / "lib" / name
    library = ctypes.CDLL(os.environ.get("DSPARK_LIBRARY") or (str(beside) if beside.exists() else name))
    for function, (result, arguments) in FUNCTIONS.items():
        getattr(library, function).restype = result
        getattr(library, function).argtypes = arguments
    found = library.dspark_abi_version()
    if found != ABI_VERSION:
        raise ImportError(f"libdspark has ABI {found}, this package is for {ABI_VERSION}")
    return library


library = load()


def check(code: int) -> None:
    if code != 0:
        raise DsparkError(code, library.dspark_last_error().decode("utf-8", "replace"))
