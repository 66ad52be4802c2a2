"""The JSON schema of a Python function, from its signature and a docstring with `Args:`, as transformers reads it."""

import inspect
import re
import types
import typing
from typing import Any, Callable

_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


def function_schema(function: Callable[..., Any]) -> "dict[str, Any]":
    """What a model is told of a function: name, what it does, its parameters with their types and meanings.

    Raises TypeError where a parameter has no type, or one that JSON does not have.
    """
    hints = typing.get_type_hints(function)
    text, _, arguments = inspect.cleandoc(function.__doc__ or "").partition("\nArgs:\n")
    meanings = _meanings(arguments)
    properties, required = {}, []
    for name, parameter in inspect.signature(function).parameters.items():
        where = f"{function.__name__}: parameter '{name}'"
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{where}: expected one with a name of its own, found {parameter}")
        if name not in hints:
            raise TypeError(f"{where}: expected a type, found none")
        properties[name] = _type(hints[name], where)
        if name in meanings:
            properties[name]["description"] = meanings[name]
        if parameter.default is parameter.empty:
            required.append(name)
    parameters = {"type": "object", "properties": properties, "required": required}
    function_ = {"name": function.__name__, "description": text.strip(), "parameters": parameters}
    return {"type": "function", "function": function_}


def _meanings(arguments: str) -> "dict[str, str]":
    """`name: text` or `name (type): text`, up to the next section; a line that is indented deeper goes on."""
    section = re.split(r"\n(?=\S)", arguments)[0]
    entries = re.split(r"\n(?=\S)", inspect.cleandoc(section))
    found = (re.match(r"(\w+)\s*(?:\([^)]*\))?:\s*(.*)", entry, re.S) for entry in entries)
    return {m[1]: " ".join(m[2].split()) for m in found if m}


def _type(hint: Any, where: str) -> "dict[str, Any]":
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return {**_type(type(arguments[0]), where), "enum": list(arguments)}
    if origin in (typing.Union, getattr(types, "UnionType", None)):
        some = [a for a in arguments if a is not type(None)]
        if len(some) == 1:
            return _type(some[0], where)
    if origin is list and arguments:
        return {"type": "array", "items": _type(arguments[0], where)}
    name = _NAMES.get(origin or hint)
    if name is None:
        raise TypeError(f"{where}: expected str, int, float, bool, list, dict, Literal or Optional, found {hint}")
    return {"type": name}
