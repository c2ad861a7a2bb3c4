#!/usr/bin/env python3
"""Writes tests/data/templates/cases.jsonl: every case of template_cases.py and template_shapes.py
(with shapes/*.jinja) rendered by Jinja2 in the environment that Hugging Face's apply_chat_template makes.

Needs python3-jinja2. Run from anywhere; the output depends on the cases and Jinja's version alone.
"""

import datetime
import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

import template_cases
import template_shapes

NOW_UNIX_S = 1721984461  # 2024-07-26 09:01:01 UTC; chat_template_test.cc renders at the same time


class Generation(jinja2.ext.Extension):
    """{% generation %}: marks the assistant's text, which renders as it is."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("render_body")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def render_body(self, caller):
        return caller()


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def strftime_now(fmt):
    now = datetime.datetime.fromtimestamp(NOW_UNIX_S, datetime.timezone.utc)
    return now.replace(tzinfo=None).strftime(fmt)


def make_environment():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    return environment


def render(environment, template, context):
    try:
        return {"rendered": environment.from_string(template).render(**context)}
    except Exception:  # whatever Python raises, the template can't be rendered
        return {"error": True}


def write_seeds(rows, folder):
    """The fuzzer's first inputs: the families' templates, and the small ones that render, by group."""
    folder.mkdir(parents=True, exist_ok=True)
    groups = {}
    for row in rows:
        group = row["name"].split("/")[0]
        if row["template"] not in groups.setdefault(group, []) and "error" not in row:
            groups[group].append(row["template"])
    variables = "".join(
        f"{{% set {name} = {value!r} %}}" for name, value in template_cases.CONTEXT.items()
    )
    for group, templates in groups.items():
        small = group in template_cases.GROUPS
        text = variables + "\n".join(templates) if small else templates[0]
        (folder / group).write_text(text, encoding="utf-8")


def main():
    environment = make_environment()
    root = pathlib.Path(__file__).resolve().parents[2]
    out = root / "tests" / "data" / "templates" / "cases.jsonl"
    out.parent.mkdir(parents=True, exist_ok=True)
    rows, names = [], set()
    for name, template, context in [*template_cases.cases(), *template_shapes.cases()]:
        assert name not in names, name
        names.add(name)
        row = {"name": name, "template": template, "context": context}
        rows.append(row | render(environment, template, context))
    previous = {}
    with out.open("w", encoding="utf-8") as file:
        for row in rows:  # a template or context like the row before's is left out
            kept = {
                key: value
                for key, value in row.items()
                if key not in ("template", "context") or previous.get(key) != value
            }
            file.write(json.dumps(kept, ensure_ascii=False) + "\n")
            previous = row
    write_seeds(rows, root / "tests" / "fuzz" / "corpus" / "chat_template")
    errors = sum("error" in row for row in rows)
    print(f"{len(rows)} cases, {errors} of them errors")


if __name__ == "__main__":
    main()
