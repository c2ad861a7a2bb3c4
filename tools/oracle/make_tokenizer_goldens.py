#!/usr/bin/env python3
"""Writes tests/data/tokenizers/FAMILY/: a small tokenizer.json with the pipeline of a public model
family, and goldens that Hugging Face tokenizers computes with it.

    tokenizer.jsonl          {"text", "ids", "decoded"}: text of special tokens is plain text
    tokenizer_special.jsonl  the same with special tokens recognised

and tests/data/tokenizers/splits.jsonl: {"pattern", "behavior", "invert", "text", "pieces"} of its
Split pre-tokenizer; and small cuts of the same files as seeds, tests/fuzz/corpus/tokenizer_json/.

The vocabularies are trained on tests/fixtures/smollm2/perplexity.txt and the cases themselves. Needs
the Python package tokenizers (0.23.3 wrote the files here). Run from anywhere; output depends on the
cases and the package's version alone.
"""

import collections
import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers import processors, trainers

import tokenizer_cases

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/data/tokenizers"
SEEDS = ROOT / "tests/fuzz/corpus/tokenizer_json"
VOCAB = 800

QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def corpus():
    text = (ROOT / "tests/fixtures/smollm2/perplexity.txt").read_text(encoding="utf-8")
    return text.split("\n") + tokenizer_cases.TEXTS * 4


def split(pattern):
    return pre.Split(Regex(pattern), "isolated", invert=False)


def byte_level(pre_tokenizer, normalizer=None, extra=(), ignore_merges=False):
    """A byte-level BPE with every byte in the vocabulary."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    for text in extra:  # tokens that no merge makes
        model["vocab"].setdefault(text, len(model["vocab"]))
    merges = [tuple(pair) for pair in model["merges"]]
    tokenizer.model = models.BPE(model["vocab"], merges, ignore_merges=ignore_merges)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def plain(normalizer, pre_tokenizer, specials):
    """Gemma's and Llama 2's kind: text itself, bytes as <0xXX>."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "\u2581")
    trained.pre_tokenizer = split("\u2581+[^\u2581]*|[^\u2581]+")
    # The trainer's own choice among equally frequent characters differs from run to run.
    counts = collections.Counter("".join(corpus()).replace(" ", "\u2581"))
    alphabet = sorted(counts, key=lambda c: (-counts[c], c))[:120]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, initial_alphabet=alphabet, limit_alphabet=120, show_progress=False
    )
    trained.train_from_iterator(corpus(), trainer)
    model = json.loads(trained.to_str())["model"]
    texts = specials + [f"<0x{b:02X}>" for b in range(256)]
    texts += [t for t in model["vocab"] if t not in texts]
    vocab = {text: i for i, text in enumerate(texts)}
    tokenizer = Tokenizer(
        models.BPE(
            vocab,
            [tuple(pair) for pair in model["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def qwen3():
    tokenizer = byte_level(
        pre.Sequence([split(QWEN), pre.ByteLevel(add_prefix_space=False, use_regex=False)]),
        normalizers.NFC(),
    )
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens(
        [
            AddedToken(t, normalized=False)
            for t in ["<tool_call>", "</tool_call>", "<think>", "</think>"]
        ]
    )
    return tokenizer


def llama3():
    tokenizer = byte_level(
        pre.Sequence([split(LLAMA3), pre.ByteLevel(add_prefix_space=False, use_regex=False)]),
        extra=["\u0120zebra", "zebra", "\u0120QQQQ", "000", "\u010a\u010a\u010a\u010a"],
        ignore_merges=True,
    )
    tokenizer.add_special_tokens(
        ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"]
        + ["<|eot_id|>"]
    )
    bos = "<|begin_of_text|>"
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(
                single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
            ),
        ]
    )
    return tokenizer


def gpt2():
    tokenizer = byte_level(pre.ByteLevel(add_prefix_space=False))
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def smollm():
    tokenizer = byte_level(
        pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)])
    )
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return tokenizer


def gemma():
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    tokenizer = plain(
        normalizers.Replace(" ", "\u2581"), pre.Split(" ", "merged_with_previous"), specials
    )
    tokenizer.add_special_tokens(specials)
    tokenizer.add_tokens(
        [
            AddedToken(t, normalized=False)
            for t in ["\n\n", "\n\n\n", "\u2581\u2581", "\u2581\u2581\u2581\u2581", "<table>"]
        ]
    )
    return tokenizer


def llama2():
    specials = ["<unk>", "<s>", "</s>"]
    tokenizer = plain(
        normalizers.Sequence(
            [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
        ),
        None,
        specials,
    )
    tokenizer.add_special_tokens(specials)
    return tokenizer


def flags():
    """No family: what added tokens can ask for, a prefix space, and another normaliser."""
    tokenizer = byte_level(
        pre.ByteLevel(add_prefix_space=True),
        normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("--", "\u2014")]),
    )
    tokenizer.add_special_tokens(
        [AddedToken("<|left|>", lstrip=True), AddedToken("<|right|>", rstrip=True)]
        + [AddedToken("<|mask|>", lstrip=True, rstrip=True)]
    )
    tokenizer.add_tokens(
        [
            AddedToken("word", single_word=True, normalized=False),
            AddedToken("caf\u00e9", normalized=True),
            AddedToken("a--b", normalized=True),
            AddedToken("raw--text", normalized=False),
            AddedToken("raw--te", normalized=False, rstrip=True),
        ]
    )
    return tokenizer


def write(name, tokenizer, legacy_merges):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    content = json.loads(tokenizer.to_str())
    if legacy_merges:
        content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    text = json.dumps(content, ensure_ascii=False, indent=0, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(text + "\n", encoding="utf-8")
    write_seed(name, json.loads(text))
    tokenizer = Tokenizer.from_str(text)  # the file's meaning, not the object's
    specials = [t["content"] for t in content["added_tokens"]]
    sets = {
        "tokenizer.jsonl": (True, tokenizer_cases.TEXTS + tokenizer_cases.mixed(150, 1, specials)),
        "tokenizer_special.jsonl": (False, tokenizer_cases.mixed(80, 2, specials * 3)),
    }
    for file, (as_text, texts) in sets.items():
        tokenizer.encode_special_tokens = as_text
        with open(folder / file, "w", encoding="utf-8", newline="\n") as out:
            for text in texts + [f"a {s} b{s}{s}\n{s}" for s in specials]:
                ids = tokenizer.encode(text, add_special_tokens=False).ids
                line = {"text": text, "ids": ids}
                line["decoded"] = tokenizer.decode(ids, skip_special_tokens=False)
                out.write(json.dumps(line, ensure_ascii=False) + "\n")


def write_seed(name, content):
    """The same pipeline with few tokens: inputs that a fuzzer can change quickly."""
    model = content["model"]
    model["merges"] = model["merges"][:12]
    pairs = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    keep = {text for a, b in pairs for text in (a, b, a + b)} | set("Helo, wrd's123\u0120")
    keep |= {"<unk>", "<0xE2>", "<0xFF>", "<0x0A>"}
    texts = [text for text in model["vocab"] if text in keep]
    model["vocab"] = {text: i for i, text in enumerate(texts)}
    content["added_tokens"] = content["added_tokens"][:4]
    for i, token in enumerate(content["added_tokens"]):
        token["id"] = model["vocab"].get(token["content"], len(texts) + i)
    SEEDS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    (SEEDS / name).write_text(text, encoding="utf-8")


def write_splits():
    patterns = [r"\s+", r"-", r"--?", r"(?=[A-Z])", r"\b", r"x*", r"[^a-z]+", r"(?i)a|\d{1,2}", r"$"]
    texts = ["", "-", "--", "a--b - c-", "  fooBar BAZ x1 xx22 ", "-A-\u00e9\u4f60B--", "a\nb\n"]
    behaviors = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    with open(OUT / "splits.jsonl", "w", encoding="utf-8", newline="\n") as out:
        for pattern in patterns:
            for behavior in behaviors:
                for invert in [False, True]:
                    splitter = pre.Split(Regex(pattern), behavior, invert=invert)
                    for text in texts:
                        case = {
                            "pattern": pattern,
                            "behavior": behavior.title().replace("_", "").replace("with", "With"),
                            "invert": invert,
                            "text": text,
                            "pieces": [piece for piece, _ in splitter.pre_tokenize_str(text)],
                        }
                        out.write(json.dumps(case, ensure_ascii=False) + "\n")


def main():
    write_splits()
    for family in [qwen3, llama3, gpt2, smollm, gemma, llama2, flags]:
        write(family.__name__, family(), legacy_merges=family in (llama3, gpt2))


if __name__ == "__main__":
    main()
