#!/usr/bin/env python3
"""Records what Python's jinja2 makes of the templates that the tests render.

Needs jinja2 3.1 (apt install python3-jinja2) and the npm packages with real chat templates:
  tests/text/record_templates.py [BUILD/npm/node_modules]
writes tests/data/templates/*.json. The environment is set up as Hugging Face sets it up.
"""
import datetime
import json
import pathlib
import re
import sys

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

import template_chats
import template_snippets

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/data/templates"
NOW = datetime.datetime(2025, 7, 4, 9, 5, 6)


class Generation(Extension):
    """The tag that marks what the model itself wrote; to rendering it is a call block."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_run"), [], [], body).set_lineno(line)

    def _run(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda format: NOW.strftime(format)
    return env


def outcome(template, variables):
    """{"output": text} or {"error": what jinja2 says, "exact": whether our text must be the same}."""
    try:
        return {"output": environment().from_string(template).render(**variables)}
    except Exception as e:  # noqa: BLE001 - whatever Python throws is an error of the template
        exact = type(e).__name__ in ("UndefinedError", "SecurityError") or type(e) in (
            jinja2.exceptions.TemplateError,
        )
        found = {"error": str(e) or type(e).__name__, "exact": exact}
        if isinstance(e, jinja2.TemplateSyntaxError):
            found["line"] = e.lineno
        return found


def snippets():
    cases = []
    lines = template_snippets.EXPRESSIONS
    # An expression may go over two lines when a quote is open.
    for line in re.findall(r'(?:"\\\n[^\n]*|\'multi\n[^\n]*|[^\n]+)', lines):
        cases.append("[{{ " + line + " }}]" if "boom" not in line else "{{ " + line + " }}")
    for line in template_snippets.FAILING_EXPRESSIONS.strip().split("\n"):
        cases.append("{{ " + line + " }}")
    for block in template_snippets.TEMPLATES[1:].split("\n----\n"):
        cases.append(block)
    out = []
    for template in cases:
        found = outcome(template, json.loads(json.dumps(template_snippets.VARIABLES)))
        if " at 0x" in found.get("output", ""):
            print(f"prints an address: {template}")
        out.append({"template": template, **found})
    return {"variables": template_snippets.VARIABLES, "cases": out}


def chats(packages):
    """Every conversation through every real template, and through the built-in one."""
    sources = {"builtin": builtin_source()}
    for package in template_chats.PACKAGES:
        path = packages / package / "models/tokenizer_config.json"
        config = json.loads(path.read_text())
        if config.get("chat_template"):
            sources[package] = config["chat_template"]
    cases = []
    for package, source in sources.items():
        tokens = dict(template_chats.BUILTIN_TOKENS)
        if package != "builtin":
            config = json.loads((packages / package / "models/tokenizer_config.json").read_text())
            tokens = {}
            for key, value in config.items():
                if key.endswith("_token") and isinstance(value, (str, dict)):
                    tokens[key] = value if isinstance(value, str) else value["content"]
        for name, chat in template_chats.chats().items():
            variables = {
                **tokens,
                **chat.get("kwargs", {}),
                "messages": chat["messages"],
                "tools": chat.get("tools"),
                "documents": chat.get("documents"),
                "add_generation_prompt": chat.get("add_generation_prompt", True),
            }
            found = outcome(source, json.loads(json.dumps(variables)))
            cases.append({"package": package, "chat": name, **found})
    return {"chats": template_chats.chats(), "cases": cases}


def builtin_source():
    text = (ROOT / "src/text/chat_builtin.cpp").read_text()
    return re.search(r'R"jinja\((.*)\)jinja"', text, re.S).group(1)


def write(name, value):
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / name
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")
    good = sum("output" in c for c in value["cases"])
    print(f"{path.name}: {good} outputs, {len(value['cases']) - good} errors")


if __name__ == "__main__":
    packages = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/npm/node_modules")
    write("snippets.json", snippets())
    write("chats.json", chats(packages))
