#!/usr/bin/env python3
"""One drafter file, two engines: the same drafts, accepted counts and tokens from llama.cpp and from us.

  bench/interchange.py --peer "PREFIX" --folder DIR --seen-as PATH [--dspark FILE] [--random-model FILE
                       --random-drafter FILE] [--out FILE.json]

PREFIX is put before llama-server (empty when it is on the PATH). DIR is where the files are written, PATH the
same folder as the peer sees it. Every case is a target in F32 as GGUF, and a drafter that
`dspark convert --layout llama.cpp` wrote; cache in float, greedy, whole blocks. llama.cpp's drafts are read
from its verbose log. For the fixtures, whose drafters are trained a little so that accepted lengths vary, they
are held against the reference's own (tests/fixtures/.../generate.json); margins below 1e-3 there would excuse a
difference, and the smallest is 0.003. Accepted counts and tokens are held against ours in every case.
"""
import argparse
import json
import pathlib
import re
import shlex
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/fuzz"))
from make_seeds import ARRAY, F32, I32, STRING, U32, gguf  # noqa: E402

FIXTURES = ROOT / "tests/fixtures"
VANILLA, DFLASH = "qwen3_dspark_vanilla", "qwen3_dflash"
PORT = 18094
CANDIDATE = re.compile(r"draft candidate\s+0, pos\s+\d+:\s+(\d+) ")
ACCEPTED = re.compile(r"accepted (\d+)/\d+ draft tokens")
LAYER_NAMES = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
               "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
               "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
               "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
               "mlp.down_proj": "ffn_down"}


def byte_level_alphabet():
    """GPT-2's printable stand-ins of the 256 bytes."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(b) if b in kept else chr(next(others)) for b in range(256)]


def gguf_name(name):
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
             "lm_head.weight": "output.weight"}
    if name in whole:
        return whole[name]
    _, _, layer, part = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{LAYER_NAMES[part]}.weight"


def fixture_target(out, end_token, name=VANILLA):
    """A fixture's target as GGUF: its weights as they are, and a vocabulary that llama.cpp can load."""
    config = json.loads((FIXTURES / name / "target/config.json").read_text())
    raw = (FIXTURES / name / "target/model.safetensors").read_bytes()
    (size,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8:8 + size])
    tokens = byte_level_alphabet() + ["ab"]
    tokens += [f"filler{i}" for i in range(config["vocab_size"] - len(tokens))]
    keys = [("general.architecture", STRING, "qwen3"),
            ("qwen3.block_count", U32, config["num_hidden_layers"]),
            ("qwen3.context_length", U32, config["max_position_embeddings"]),
            ("qwen3.embedding_length", U32, config["hidden_size"]),
            ("qwen3.feed_forward_length", U32, config["intermediate_size"]),
            ("qwen3.attention.head_count", U32, config["num_attention_heads"]),
            ("qwen3.attention.head_count_kv", U32, config["num_key_value_heads"]),
            ("qwen3.attention.key_length", U32, config["head_dim"]),
            ("qwen3.attention.value_length", U32, config["head_dim"]),
            ("qwen3.attention.layer_norm_rms_epsilon", F32, config["rms_norm_eps"]),
            ("qwen3.rope.freq_base", F32, config["rope_parameters"]["rope_theta"]),
            ("tokenizer.ggml.model", STRING, "gpt2"), ("tokenizer.ggml.pre", STRING, "qwen2"),
            ("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
            ("tokenizer.ggml.token_type", ARRAY, (I32, [1] * len(tokens))),
            ("tokenizer.ggml.merges", ARRAY, (STRING, ["a b"])),
            ("tokenizer.ggml.eos_token_id", U32, end_token)]
    table, data = [], b""
    for tensor, entry in header.items():
        if tensor == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        table.append((gguf_name(tensor), tuple(reversed(entry["shape"])), 0, len(data)))
        data += raw[8 + size + begin:8 + size + end]
        data += b"\0" * (-len(data) % 32)
    out.write_bytes(gguf(keys, table, data))


def post(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", data, timeout=600) as answer:
        return json.load(answer)


def drafts_of(log):
    """[(drafted tokens, accepted)] of every cycle in a part of the verbose log. It has whole blocks, also where
    the end of the answer leaves only some of a block to verify."""
    cycles, drafted = [], []
    for line in log.splitlines():
        if match := CANDIDATE.search(line):
            drafted.append(int(match[1]))
        elif match := ACCEPTED.search(line):
            cycles.append((drafted, int(match[1])))
            drafted = []
    return cycles


def llama_cpp(args, target, drafter, block, prompts, tokens):
    """[(tokens, cycles)] of every prompt."""
    seen = pathlib.PurePosixPath(args.seen_as or args.folder)
    command = shlex.split(args.peer) + [
        "llama-server", "-m", str(seen / target), "-md", str(seen / drafter), "--spec-type", "draft-dspark",
        "--spec-draft-n-max", str(block), "-ctk", "f32", "-ctv", "f32", "-ctkd", "f32", "-ctvd", "f32",
        "-fa", "off", "-t", "1", "-tb", "1", "-td", "1", "-tbd", "1", "-c", "512", "-np", "1",
        "--port", str(PORT), "--no-warmup", "-v"]
    log_path = pathlib.Path(args.folder) / "llama-server.log"
    results = []
    with open(log_path, "wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        for _ in range(120):
            if server.poll() is not None:
                sys.exit(f"llama-server ended with {server.returncode}: see {log_path}")
            try:
                if post("/health").get("status") == "ok":
                    break
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.5)
        for prompt in prompts:
            begin = log_path.stat().st_size
            answer = post("/completion", {"prompt": prompt, "n_predict": tokens, "temperature": 0,
                                          "cache_prompt": False, "return_tokens": True})
            time.sleep(0.2)
            with open(log_path, "rb") as log:
                log.seek(begin)
                text = log.read().decode(errors="replace")
            results.append((answer["tokens"], drafts_of(text)))
    finally:
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
    return results


def ours(args, target, drafter, prompts, tokens):
    """[(tokens, accepted of every cycle)] of every prompt."""
    folder = pathlib.Path(args.folder)
    rows, out = folder / "prompts.jsonl", folder / "ours.json"
    rows.write_text("".join(json.dumps({"id": str(i), "ids": ids}) + "\n" for i, ids in enumerate(prompts)))
    subprocess.run([args.dspark, "run", str(folder / target), "--drafter", str(folder / drafter), "--prompts",
                    str(rows), "--json", str(out), "--max-tokens", str(tokens), "--ignore-eos",
                    "--planner", "full", "--draft-candidates", "0", "--raw"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lines = [json.loads(line) for line in out.read_text().splitlines()][:-1]
    return [(line["ids"], [cycle["accepted"] for cycle in line["cycles"]]) for line in lines]


def convert(args, *rest):
    subprocess.run([args.dspark, "convert", *map(str, rest)], check=True, stderr=subprocess.DEVNULL)


def check_reads_back(args, drafter, target):
    """llama.cpp's form, ours and llama.cpp's again: not a byte differs."""
    folder = pathlib.Path(args.folder)
    convert(args, folder / drafter, folder / "own.gguf", "--target", folder / target)
    convert(args, folder / "own.gguf", folder / "again.gguf", "--layout", "llama.cpp", "--target", folder / target)
    return (folder / drafter).read_bytes() == (folder / "again.gguf").read_bytes()


def compare(name, theirs, mine, wanted):
    """A row of the report. wanted: the reference's drafts of every cycle of every prompt, or None."""
    row = {"case": name, "cycles": 0, "drafts_compared": 0, "drafts_equal": 0, "accepted_equal": 0,
           "tokens_equal": True, "accepted": 0}
    for i, ((ids, cycles), (our_ids, our_accepted)) in enumerate(zip(theirs, mine)):
        row["tokens_equal"] &= ids == our_ids
        # The last cycle is cut where the answer ends, and each engine counts that in its own way.
        for c, (drafted, accepted) in enumerate(cycles[:-1]):
            row["cycles"] += 1
            row["accepted"] += accepted
            row["accepted_equal"] += c < len(our_accepted) and accepted == our_accepted[c]
            if wanted is not None:
                row["drafts_compared"] += 1
                row["drafts_equal"] += drafted == wanted[i][c]
    row["equal"] = (row["tokens_equal"] and row["accepted_equal"] == row["cycles"] and row["cycles"] >= 50
                    and row["drafts_equal"] == row["drafts_compared"])
    return row


def fixture_case(args, name, ids=None):
    """ids: a draft vocabulary that the drafter is cut to; the reference has no drafts of such a one."""
    folder = pathlib.Path(args.folder)
    runs = [run for run in json.loads((FIXTURES / name / "generate.json").read_text())["runs"]
            if run["label"].startswith("greedy_")]
    block = json.loads((FIXTURES / name / "draft/config.json").read_text())["block_size"]
    used = {token for run in runs for token in run["output_ids"]}
    fixture_target(folder / "target.gguf", max(set(range(512)) - used), name)
    cut = []
    if ids:
        (folder / "ids.json").write_text(json.dumps(ids))
        cut = ["--draft-vocab", folder / "ids.json"]
    convert(args, FIXTURES / name / "draft", folder / "drafter.gguf", "--layout", "llama.cpp", "--target",
            folder / "target.gguf", *cut)
    prompts, tokens = [run["prompt_ids"] for run in runs], runs[0]["max_new_tokens"]
    theirs = llama_cpp(args, "target.gguf", "drafter.gguf", block, prompts, tokens)
    mine = ours(args, "target.gguf", "drafter.gguf", prompts, tokens)
    wanted = None if ids else [[cycle["draft_tokens"] for cycle in run["cycles"]] for run in runs]
    row = compare(f"fixture {name}" + (f", {len(ids)} tokens drafted" if ids else ""), theirs, mine, wanted)
    row["reads_back"] = check_reads_back(args, "drafter.gguf", "target.gguf")
    return row


def random_case(args):
    """A random model's answer soon repeats itself; many short ones from prompts of their own vary more."""
    folder = pathlib.Path(args.folder)
    subprocess.run([args.random_model, "tiny", "f32", str(folder / "target.gguf"), "--seed", "3"], check=True)
    subprocess.run([args.random_drafter, str(folder / "target.gguf"), str(folder / "random.gguf"), "--type", "f32",
                    "--taps=-1,0", "--block", "5", "--rank", "64", "--confidence", "--seed", "5"], check=True)
    convert(args, folder / "random.gguf", folder / "drafter.gguf", "--layout", "llama.cpp", "--target",
            folder / "target.gguf")
    prompts = [[(7 * i + 13 * j + i * j) % 500 for j in range(12)] for i in range(16)]
    theirs = llama_cpp(args, "target.gguf", "drafter.gguf", 5, prompts, 12)
    row = compare("random tiny", theirs, ours(args, "target.gguf", "drafter.gguf", prompts, 12), None)
    row["reads_back"] = check_reads_back(args, "drafter.gguf", "target.gguf")
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build = ROOT / "build/release"
    parser.add_argument("--peer", default="")
    parser.add_argument("--folder", required=True)
    parser.add_argument("--seen-as")
    parser.add_argument("--dspark", default=str(build / "dspark"))
    parser.add_argument("--random-model", default=str(build / "random_model"))
    parser.add_argument("--random-drafter", default=str(build / "random_drafter"))
    parser.add_argument("--out")
    args = parser.parse_args()
    rows = [fixture_case(args, VANILLA), fixture_case(args, VANILLA, list(range(0, 512, 2))),
            fixture_case(args, DFLASH), random_case(args)]
    for row in rows:
        print(json.dumps(row))
    if args.out:
        pathlib.Path(args.out).write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    return 0 if all(row["equal"] and row["reads_back"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
