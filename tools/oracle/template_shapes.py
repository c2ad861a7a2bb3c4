"""Conversations for the chat templates in shapes/, for make_template_goldens.py.

Each shapes/FAMILY.jinja is written for this project: it uses the constructs that the family's published
template uses (loops, namespaces, macros, filters, white-space marks), not its text.
"""

import pathlib

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather at a place.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "A city's name"},
                    "unit": {"type": "string", "enum": ["c", "f"]},
                    "days": {"type": "array", "items": {"type": "integer"}},
                    "options": {
                        "type": "object",
                        "properties": {"wind": {"type": "boolean"}},
                        "required": ["wind"],
                    },
                },
                "required": ["city"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "zählen",
            "description": "Counts \"things\" <b>&</b>\nline 2",
            "parameters": {"type": "object", "properties": {}},
        },
    },
]
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "call12345",
            "type": "function",
            "function": {"name": "get_weather", "arguments": {"city": "Köln", "days": [1, 2]}},
        },
        {"id": "call67890", "type": "function", "function": {"name": "zählen", "arguments": {}}},
    ],
}
ONE_CALL = CALL | {"tool_calls": CALL["tool_calls"][:1]}
USER = {"role": "user", "content": "What's up? 日本 🙂"}
REPLY = {"role": "assistant", "content": "  Not much.\n"}
SYSTEM = {"role": "system", "content": "Be brief."}
THOUGHT = {"role": "assistant", "content": "<think>\nHmm, well.\n</think>\n\nYes."}
REASONED = {"role": "assistant", "content": "No.", "reasoning_content": "Let me see.\n"}
RESULT = {"role": "tool", "name": "get_weather", "content": '{"t": 20}', "tool_call_id": "call12345"}
RESULT_2 = {"role": "tool", "name": "zählen", "content": "3", "tool_call_id": "call67890"}
PARTS = {
    "role": "user",
    "content": [{"type": "text", "text": " Look: "}, {"type": "image"}, {"type": "text", "text": "!"}],
}

BASE = {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True}
CONVERSATIONS = {
    "empty": [],
    "user": [USER],
    "system": [SYSTEM, USER],
    "turns": [SYSTEM, USER, REPLY, USER],
    "no_system_turns": [USER, REPLY, USER],
    "ends_with_reply": [USER, REPLY],
    "thoughts": [SYSTEM, USER, THOUGHT, USER, REASONED, USER],
    "thought_last": [USER, THOUGHT],
    "tool_call": [SYSTEM, USER, CALL],
    "one_call": [SYSTEM, USER, ONE_CALL, RESULT, REPLY],
    "tool_result": [USER, CALL, RESULT, RESULT_2],
    "tool_answered": [USER, CALL, RESULT, RESULT_2, REPLY, USER],
    "parts": [PARTS, REPLY, USER],
    "two_users": [USER, USER],
    "odd_role": [{"role": "critic", "content": "Boo"}],
    "no_content": [USER, {"role": "assistant", "content": None}, USER],
}

# Further variables, each rendered with one conversation.
VARIANTS = {
    "no_prompt": ("turns", {"add_generation_prompt": False}),
    "tools": ("turns", {"tools": TOOLS}),
    "tools_call": ("tool_answered", {"tools": TOOLS}),
    "tools_system": ("system", {"tools": TOOLS, "tools_in_user_message": False}),
    "xml_tools": ("system", {"xml_tools": TOOLS, "enable_thinking": False}),
    "builtin_tools": ("tool_call", {"builtin_tools": ["search", "code", "get_weather"]}),
    "thinking_off": ("thoughts", {"enable_thinking": False}),
    "thinking_on": ("thoughts", {"enable_thinking": True, "thinking": True}),
    "documents": (
        "system",
        {"documents": [{"title": "A", "text": "Eins."}, {"title": "B", "text": "Z\"wei\""}]},
    ),
    "controls": ("user", {"controls": {"citations": True, "length": "short"}}),
    "date": ("user", {"date_string": "1 Jan 2000", "reasoning_effort": "high"}),
}


def cases():
    for path in sorted(pathlib.Path(__file__).with_name("shapes").glob("*.jinja")):
        shape, template = path.stem, path.read_text(encoding="utf-8")
        for name, messages in CONVERSATIONS.items():
            yield f"{shape}/{name}", template, BASE | {"messages": messages}
        for name, (conversation, more) in VARIANTS.items():
            context = BASE | {"messages": CONVERSATIONS[conversation]} | more
            yield f"{shape}/{name}", template, context
