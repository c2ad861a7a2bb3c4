#!/usr/bin/env python3
"""Writes the seeds of http_request into corpus/http_request: bodies behind their API's letter, whole requests."""
import json
import pathlib

FOLDER = pathlib.Path(__file__).parent / "corpus" / "http_request"
TURN = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {
    "type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"enum": [1, "b"]}}}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}

BODIES = {
    "chat": ("c", {"messages": TURN, "max_tokens": 3, "temperature": 0.5, "top_p": 0.9, "top_k": 4, "min_p": 0.1,
                   "seed": 1, "n": 2, "stop": ["a", "b"], "logit_bias": {"5": -1}, "presence_penalty": 1,
                   "frequency_penalty": 1, "repeat_penalty": 1.1, "user": "u", "odd": None}),
    "chat_stream": ("c", {"messages": TURN, "stream": True, "stream_options": {"include_usage": True}, "logprobs": True,
                          "top_logprobs": 2, "speculation": {"off": False, "draft_max": 3, "origins": True}}),
    "chat_parts": ("c", {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
                         "max_completion_tokens": 2, "chat_template_kwargs": {"x": 1}, "ignore_eos": True}),
    "chat_schema": ("c", {"messages": TURN, "response_format": {"type": "json_schema", "json_schema": {
        "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}}}),
    "chat_object": ("c", {"messages": TURN, "response_format": {"type": "json_object"}}),
    "chat_grammar": ("c", {"messages": TURN, "grammar": "root ::= [a-c]{3}"}),
    "tools": ("c", {"messages": [*TURN, {"role": "assistant", "content": None, "tool_calls": [CALL]},
                                 {"role": "tool", "tool_call_id": "c", "content": "1"}], "tools": [TOOL]}),
    "tools_required": ("c", {"messages": TURN, "tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}),
    "tools_named": ("c", {"messages": TURN, "tools": [TOOL],
                          "tool_choice": {"type": "function", "function": {"name": "f"}}}),
    "answer_tagged": ("c", {"messages": TURN, "tools": [TOOL], "stream": True, "answer":
                            'a <tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>\n<tool_call>{"name": "g"}'}),
    "answer_bare": ("c", {"messages": TURN, "tools": [TOOL],
                          "answer": '{"name": "f", "parameters": {"a": "}"}}; {"name": "f"} b'}),
    "completion": ("p", {"prompt": ["a", "b"], "n": 2, "max_tokens": 3, "logprobs": 1, "echo": True}),
    "completion_ids": ("p", {"prompt": [5, 9], "suffix": "", "best_of": 1}),
    "completion_lists": ("p", {"prompt": [[5], [9, 7]], "stream": True}),
    "responses": ("r", {"input": "hi", "instructions": "i", "max_output_tokens": 3, "metadata": {"a": "b"},
                        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"enum": [1]}}}}),
    "responses_list": ("r", {"input": [{"type": "message", "role": "developer", "content": "a"},
                                       {"role": "user", "content": [{"type": "input_text", "text": "b"}]}], "stream": True}),
    "responses_tools": ("r", {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                                        {"type": "function_call_output", "call_id": "c", "output": "1"}],
                              "tools": [{"type": "function", **TOOL["function"]}], "stream": True,
                              "tool_choice": {"type": "function", "name": "f"}, "answer": "a<tool_call>{\"name\": \"f\"}"}),
    "messages_tools": ("m", {"messages": [{"role": "assistant", "content": [
        {"type": "tool_use", "id": "c", "name": "f", "input": {}}]}, {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c", "content": "1"}, {"type": "text", "text": "b"}]}],
                             "max_tokens": 9, "tools": [{"name": "f", "input_schema": {"properties": {"a": {}}}}],
                             "tool_choice": {"type": "any"}, "answer": "<tool_call>{\"name\": \"f\"}</tool_call> b"}),
    "messages": ("m", {"messages": TURN, "max_tokens": 3, "system": [{"type": "text", "text": "s"}],
                       "stop_sequences": ["x"], "stream": True}),
}
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (letter, body) in BODIES.items():
        (FOLDER / name).write_text(letter + json.dumps(body))
    body = json.dumps({"messages": TURN}).encode()
    (FOLDER / "http_length").write_bytes(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    (FOLDER / "http_chunks").write_bytes(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x;a=b\r\n" % len(body) + body + b"\r\n0\r\nX: y\r\n\r\n")
    (FOLDER / "http_ambiguous").write_bytes(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
    (FOLDER / "bytes").write_bytes(b'c{"messages": "\xff\xfe\\ud800"}')
    (FOLDER / "deep").write_bytes(b"c" + b"[" * 70)


if __name__ == "__main__":
    main()
