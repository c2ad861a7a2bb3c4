#!/usr/bin/env python3
"""Writes the fuzzers' seeds for the file formats into corpus/{gguf,safetensors,hf_config}."""
import json
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?",
           U64: "Q", I64: "q", F64: "d"}


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, content):
    if kind == STRING:
        return text(content)
    if kind == ARRAY:
        item_kind, items = content
        return (struct.pack("<IQ", item_kind, len(items))
                + b"".join(value(item_kind, item) for item in items))
    return struct.pack("<" + FORMATS[kind], content)


def gguf(keys=(), tensors=(), data=b"", version=3, alignment=32):
    out = struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(keys))
    for key, kind, content in keys:
        out += text(key) + struct.pack("<I", kind) + value(kind, content)
    for name, dims, kind, offset in tensors:
        out += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)
    return out + b"\0" * (-len(out) % alignment) + data


def safetensors(header, data=b"", padding=0):
    body = (header if isinstance(header, str) else json.dumps(header)).encode() + b" " * padding
    return struct.pack("<Q", len(body)) + body + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def gguf_seeds():
    block = bytes(range(256))
    yield "empty", gguf()
    yield "version_2", gguf([("a", U32, 1)], version=2)
    yield "big_endian", struct.pack(">4sIQQ", b"GGUF", 3, 0, 0)
    yield "scalars", gguf([("u8", U8, 255), ("i8", I8, -1), ("u16", U16, 1), ("i16", I16, -2),
                           ("u32", U32, 7), ("i32", I32, -7), ("f32", F32, 0.5), ("b", BOOL, True),
                           ("s", STRING, "text"), ("u64", U64, 2**63), ("i64", I64, -2**62),
                           ("f64", F64, 1e-6)])
    yield "arrays", gguf([("u8", ARRAY, (U8, [1, 2])), ("i16", ARRAY, (I16, [-1])),
                          ("f32", ARRAY, (F32, [0.5, 2])), ("b", ARRAY, (BOOL, [True, False])),
                          ("s", ARRAY, (STRING, ["a", "", "\u20ac"])), ("e", ARRAY, (STRING, []))])
    yield "nested_array", gguf([("n", ARRAY, (ARRAY, [(U8, [1])]))])
    yield "token_bytes", gguf([("t", ARRAY, (STRING, [b"\xff\xfe", b"\0"]))])
    for name, kind, size, columns in (("q4_0", 2, 18, 32), ("q4_1", 3, 20, 32), ("q8_0", 8, 34, 32),
                                      ("q4_k", 12, 144, 256), ("q6_k", 14, 210, 256)):
        yield name, gguf((), [("w", (columns,), kind, 0)], block[:size])
    yield "two_tensors", gguf((), [("a", (4, 2), 0, 0), ("b", (3,), 1, 32)], block[:38])
    yield "overlap", gguf((), [("a", (16,), 0, 0), ("b", (3,), 1, 32)], block[:64])
    yield "four_dimensions", gguf((), [("a", (2, 1, 2, 1), 0, 0)], block[:16])
    yield "alignment_64", gguf([("general.alignment", U32, 64)], [("a", (1,), 0, 0), ("b", (1,), 0, 64)],
                               block[:68], alignment=64)
    yield "overflow", gguf((), [("a", (2**32, 2**32), 0, 0)], block[:16])
    yield "cut_short", gguf((), [("a", (64,), 0, 0)], block[:16])


def safetensors_seeds():
    yield "empty", safetensors({})
    yield "one", safetensors({"w": entry("F32", [2], 0, 8)}, bytes(8))
    yield "padded", safetensors({"w": entry("F32", [1, 1], 0, 4)}, bytes(4), padding=5)
    yield "metadata", safetensors({"__metadata__": {"format": "pt", "n": "1"},
                                   "w": entry("BF16", [2], 0, 4)}, bytes(4))
    header, at = {}, 0
    for dtype, width in (("I64", 8), ("F32", 4), ("I32", 4), ("F16", 2), ("I16", 2), ("I8", 1),
                         ("U8", 1), ("BOOL", 1)):
        header[dtype.lower()] = entry(dtype, [1], at, at + width)
        at += width
    yield "all_types", safetensors(header, bytes(at))
    yield "zero_size", safetensors({"w": entry("F32", [0, 4], 0, 0)})
    yield "scalar", safetensors({"w": entry("I64", [], 0, 8)}, bytes(8))
    yield "overlap", safetensors({"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 2, 6)}, bytes(6))
    yield "gap", safetensors({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 4, 6)}, bytes(6))
    yield "escapes", safetensors('{"\\u0061\\n\\ud83d\\ude00":'
                                 '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"x")
    yield "same_name", safetensors('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
                                   '"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', b"xy")
    yield "overflow", safetensors({"a": entry("F32", [2**40, 2**40], 0, 4)}, bytes(4))
    yield "long_header", struct.pack("<Q", 2**63) + b"{}"


def hf_config_seeds():
    yield "qwen3", json.dumps({
        "architectures": ["Qwen3ForCausalLM"], "hidden_size": 1024, "num_hidden_layers": 28,
        "rms_norm_eps": 1e-6, "rope_theta": 1000000, "rope_scaling": None,
        "tie_word_embeddings": True}).encode() + b"\0hidden_size"
    yield "nested", b'{"rope_parameters": {"rope_theta": 1e4, "a": {"b": [1, 2]}}}\0rope_parameters.a.b'
    yield "arrays", b'{"ints": [1, 8, 15], "floats": [0.5, 1], "mixed": [1, "a", null]}\0ints'
    yield "dots", b'{"a": {"": {"": 1}}}\0a..'
    yield "limits", b'{"a": 9223372036854775808, "b": -9223372036854775808, "c": 1e308, "d": 1e999}'
    yield "floats", b'{"a": 1e6, "b": 1.5, "c": -0.0, "d": 9007199254740993.0}'
    yield "escapes", b'{"\\u0061\\ud83d\\ude00": "\\\\\\"\\u0000"}'
    yield "deep", b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}"
    yield "brackets", b'{"a": "[[[[{{{{\\"", "b": true}\0b'
    yield "same_key", b'{"a": 1, "a": "x"}\0a'
    yield "byte_order_mark", b'\xef\xbb\xbf{"a": 1}\0a'
    yield "not_an_object", b"[1, 2]"
    yield "cut_short", b'{"a": {"b": '


def main():
    for folder, seeds in (("gguf", gguf_seeds()), ("safetensors", safetensors_seeds()),
                          ("hf_config", hf_config_seeds())):
        (CORPUS / folder).mkdir(parents=True, exist_ok=True)
        for name, data in seeds:
            (CORPUS / folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
