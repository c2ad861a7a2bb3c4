#!/usr/bin/env python3
"""Writes the seeds of the fuzzer for drafters' checkpoints into corpus/drafter: tiny ones of every form."""
import json

from make_seeds import ARRAY, BOOL, CORPUS, F32, I32, STRING, U32, entry, gguf, safetensors

H, FFN, HEADS, KV, DIM, VOCAB, RANK, TAPS = 8, 8, 2, 1, 4, 16, 4, [0, 1]


def tensors(kind="vanilla", eagle3=False, rows=VOCAB, confidence=True, taps=TAPS, norms=True):
    """(DeepSpec's name, GGUF's name, shape) of everything that such a drafter has."""
    width = 2 * H if eagle3 else H
    layer = [("input_layernorm", "attn_norm", [H]), ("post_attention_layernorm", "ffn_norm", [H]),
             ("self_attn.q_proj", "attn_q", [HEADS * DIM, width]),
             ("self_attn.k_proj", "attn_k", [KV * DIM, width]),
             ("self_attn.v_proj", "attn_v", [KV * DIM, width]),
             ("self_attn.o_proj", "attn_output", [H, HEADS * DIM]),
             ("mlp.gate_proj", "ffn_gate", [FFN, H]), ("mlp.up_proj", "ffn_up", [FFN, H]),
             ("mlp.down_proj", "ffn_down", [H, FFN])]
    if norms:
        layer += [("self_attn.q_norm", "attn_q_norm", [DIM]),
                  ("self_attn.k_norm", "attn_k_norm", [DIM])]
    if eagle3:
        layer.append(("hidden_norm", "attn_norm_2", [H]))
    out = [("embed_tokens", "token_embd", [VOCAB, H]), ("lm_head", "output", [rows, H]),
           ("fc", "fc", [H, len(taps) * H]), ("norm", "output_norm", [H])]
    out += [(f"layers.0.{a}", f"blk.0.{b}", shape) for a, b, shape in layer]
    named = [(f"{a}.weight", f"{b}.weight", shape) for a, b, shape in out]
    if eagle3:
        return named
    named.append(("hidden_norm.weight", "enc.output_norm.weight", [H]))
    if kind:
        named += [("markov_head.markov_w1.weight", "markov_w1.weight", [VOCAB, RANK]),
                  ("markov_head.markov_w2.weight", "markov_w2.weight", [rows, RANK])]
    if kind == "gated":
        named += [("markov_head.gate_proj.weight", "markov_gate.weight", [RANK, H + RANK]),
                  ("markov_head.gate_proj.bias", "markov_gate.bias", [RANK])]
    if kind == "rnn":
        named += [("markov_head.joint_proj.weight", "markov_joint.weight", [3 * RANK, 2 * RANK + H]),
                  ("markov_head.joint_proj.bias", "markov_joint.bias", [3 * RANK])]
    if confidence:
        inputs = H + RANK if kind else H
        named += [("confidence_head.proj.weight", "conf_proj.weight", [1, inputs]),
                  ("confidence_head.proj.bias", "conf_proj.bias", [1])]
    return named


def config(kind="vanilla", eagle3=False, confidence=True, taps=TAPS):
    out = {"model_type": "qwen3", "hidden_act": "silu", "hidden_size": H, "intermediate_size": FFN,
           "num_hidden_layers": 1, "num_attention_heads": HEADS, "num_key_value_heads": KV,
           "head_dim": DIM, "vocab_size": VOCAB, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
           "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
           "num_target_layers": 7, "target_layer_ids": taps}
    if eagle3:
        return out | {"ttt_length": 3}
    out |= {"block_size": 3, "mask_token_id": 15, "markov_rank": RANK if kind else 0,
            "enable_confidence_head": confidence}
    if kind:
        out["markov_head_type"] = kind
    if confidence:
        out["confidence_head_with_markov"] = bool(kind)
    return out


def gemma4(keys):
    """The same drafter with Gemma 4's layers: values are keys, four norms and a scale a layer."""
    out = {key: value for key, value in keys.items() if key != "hidden_act"}
    return out | {"model_type": "gemma4_text", "hidden_activation": "gelu_pytorch_tanh",
                  "global_head_dim": DIM, "num_global_key_value_heads": KV, "attention_k_eq_v": True,
                  "final_logit_softcapping": 30.0, "rope_parameters": {
                      "full_attention": {"rope_type": "proportional", "rope_theta": 10000.0,
                                         "partial_rotary_factor": 0.5}}}


def gemma4_tensors(named):
    renamed = {"blk.0.ffn_norm.weight": "blk.0.post_attention_norm.weight"}
    out = [(a, renamed.get(b, b), shape) for a, b, shape in named if "v_proj" not in a]
    return out + [("layers.0.pre_feedforward_layernorm.weight", "blk.0.ffn_norm.weight", [H]),
                  ("layers.0.post_feedforward_layernorm.weight", "blk.0.post_ffw_norm.weight", [H]),
                  ("layers.0.layer_scalar", "blk.0.layer_output_scale.weight", [1])]


def deepspec(keys, named, architecture, dtype="F32", width=4):
    header, at = {}, 0
    for name, _, shape in sorted(named):
        size = width
        for extent in shape:
            size *= extent
        header[name] = entry(dtype, shape, at, at + size)
        at += size
    text = json.dumps(keys | {"architectures": [architecture]}).encode()
    return text + b"\0" + safetensors(header, bytes(at))


def gguf_value(value):
    if isinstance(value, bool):
        return BOOL, value
    if isinstance(value, int):
        return (U32 if value >= 0 else I32), value
    if isinstance(value, float):
        return F32, value
    if isinstance(value, str):
        return STRING, value
    if isinstance(value[0], str):
        return ARRAY, (STRING, value)
    return ARRAY, (F32 if isinstance(value[0], float) else I32, value)


def gguf_file(keys, named, extra=()):
    """named in file order, F32; extra: (name, shape, GGUF type, bytes) before them."""
    table, data = [], b""
    stored = list(extra) + [(name, shape, 0, None) for _, name, shape in named]
    for name, shape, kind, content in stored:
        if content is None:
            size = 4
            for extent in shape:
                size *= extent
            content = bytes(size)
        table.append((name, tuple(reversed(shape)), kind, len(data)))
        data += content + b"\0" * (-len(content) % 32)
    return gguf([(key, *gguf_value(value)) for key, value in keys.items()], table, data)


def own_keys(keys, architecture, rows=VOCAB, **more):
    out = {"general.architecture": "dspark", "dspark.version": 1, "dspark.architecture": architecture,
           "dspark.draft_vocab_size": rows}

    def add(prefix, value):
        if isinstance(value, dict):
            for key, item in value.items():
                add(f"{prefix}.{key}", item)
        else:
            out[prefix] = value

    add("dspark", keys | more)
    return out


def llamacpp_keys(architecture, taps=TAPS):
    keys = {"block_count": 1, "context_length": 64, "embedding_length": H, "feed_forward_length": FFN,
            "attention.head_count": HEADS, "attention.head_count_kv": KV, "attention.key_length": DIM,
            "attention.layer_norm_rms_epsilon": 1e-6, "block_size": 3,
            "target_layers": [tap + 1 for tap in taps]}
    return ({"general.architecture": architecture, "tokenizer.ggml.mask_token_id": 15}
            | {f"{architecture}.{key}": value for key, value in keys.items()})


def seeds():
    block, eagle3 = "Qwen3DSparkModel", "Qwen3Eagle3Model"
    five, three = [0, 1, 2, 3, 4], [1, 2, 3]
    for kind in ("vanilla", "gated", "rnn", ""):
        yield f"deepspec_{kind or 'dflash'}", deepspec(config(kind), tensors(kind), block)
        yield f"own_{kind or 'dflash'}", gguf_file(own_keys(config(kind), block), tensors(kind))
    yield "deepspec_bf16", deepspec(config(), tensors(), block, "BF16", 2)
    yield "deepspec_eagle3", deepspec(config(eagle3=True, taps=five),
                                      tensors(eagle3=True, taps=five), eagle3)
    yield "own_eagle3", gguf_file(own_keys(config(eagle3=True), eagle3), tensors(eagle3=True))
    ids = b"".join(i.to_bytes(4, "little") for i in (1, 4, 15))
    yield "own_draft_vocabulary", gguf_file(own_keys(config(), block, 3, markov_candidates=2),
                                            tensors(rows=3), [("d2t", [3], 26, ids)])
    scaled = config() | {"rope_parameters": {
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 2.0, "beta_fast": 32.0,
        "beta_slow": 1.0, "original_max_position_embeddings": 32.0}}
    yield "own_yarn", gguf_file(own_keys(scaled, block), tensors())
    fitted = {"form": "sts", "temperatures": [0.5, 1.0, 2.0], "target": "t.gguf", "target_xxh3": "0" * 16,
              "data": ["a.jsonl", "b.jsonl"], "data_xxh3": ["1" * 16, "2" * 16], "prompts": 2, "cycles": 9,
              "program": "0"}
    yield "own_calibrated", gguf_file(own_keys(config(), block, calibrations=2, calibration={
        "0": {"mode": "greedy", "temperature": 0.0} | fitted,
        "1": {"mode": "rejection", "temperature": 1.0} | fitted
             | {"form": "scale_offset", "offsets": [0.5, 0.0, -1.0]}}), tensors())
    yield "deepspec_gemma4", deepspec(gemma4(config()), gemma4_tensors(tensors()), "Gemma4DSparkModel")
    yield "own_gemma4", gguf_file(own_keys(gemma4(config()), "Gemma4DSparkModel"),
                                  gemma4_tensors(tensors()))
    yield "own_gemma4_eagle3", gguf_file(
        own_keys(gemma4(config(eagle3=True)), "Gemma4Eagle3Model"), gemma4_tensors(tensors(eagle3=True)))
    yield "dflash", gguf_file(llamacpp_keys("dflash"), tensors())
    yield "dflash_masks", gguf_file(llamacpp_keys("dflash"), tensors("", confidence=False))
    wide = b"".join(i.to_bytes(8, "little") for i in (1, 4, 15))
    yield "dflash_draft_vocabulary", gguf_file(llamacpp_keys("dflash"), tensors(rows=3),
                                               [("d2t", [3], 27, wide)])
    yield "eagle3", gguf_file(llamacpp_keys("eagle3", three),
                              tensors(eagle3=True, taps=three, norms=False))


def main():
    (CORPUS / "drafter").mkdir(parents=True, exist_ok=True)
    for name, data in seeds():
        (CORPUS / "drafter" / name).write_bytes(data)


if __name__ == "__main__":
    main()
