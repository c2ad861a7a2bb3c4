"""Chat templates that offer tools, in the two forms of calls that are read back.

Called with a folder to be, it makes the tests' tiny model there, with tagged calls.
"""

import pathlib
import sys

TURN = ("{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
        "{% for call in message.tool_calls or [] %}CALL{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
LISTED = "{% if tools %}{% for tool in tools %}{{ tool.function.name }};{% endfor %}\n{% endif %}"
TAGGED = LISTED + TURN.replace(
    "CALL", '<tool_call>\n{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}\n</tool_call>')
BARE = LISTED + TURN.replace("CALL", '{"name": "{{ call.function.name }}", "parameters": {{ call.function.arguments | tojson }}}')


if __name__ == "__main__":
    folder, root = sys.argv[1], pathlib.Path(__file__).resolve().parents[2]
    sys.path.insert(0, str(root / "tests" / "apps"))
    sys.argv[1:] = ["none", str(root)]
    from program import make_model
    make_model(folder, TAGGED)
