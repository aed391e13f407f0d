"""What a wrong parameter is told: one line, by the keys of the file."""

from typing import Any

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Say in one line what is wrong with the parameters, where, and what would be right.

    Parameters
    ----------
    model
        The whole that was validated.
    """
    every = error.errors()
    problems = [problem for problem in every if not _of_another_kind(problem)] or every
    unknown = problems[0]["type"] == "extra_forbidden"
    key, allowed = _locate(problems[0]["loc"], model, ends_with_a_key=unknown)
    message = describe(problems[0], allowed)
    rest = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return (f"{key}: {message}" if key else message) + rest


def _of_another_kind(problem: Any) -> bool:
    """Tell errors of a choice between a word and a section that is not the one that was meant."""
    branch, meant_section = str(problem["loc"][-1:]), isinstance(problem["input"], dict)
    return ("literal[" in branch and meant_section) or problem["type"] == "model_type"


def describe(problem: Any, allowed: list[str]) -> str:
    """Say what was found and what is allowed, without the key.

    Parameters
    ----------
    problem
        One of pydantic's errors.
    allowed
        Keys that the section may have.
    """
    found = repr(problem["input"])
    found = found if len(found) <= 60 else found[:57] + "..."
    if problem["type"] == "extra_forbidden":
        return f"unknown key (value {found}); allowed: {', '.join(allowed)}"
    if problem["type"] == "missing":
        return "this key is missing"
    if problem["type"] == "union_tag_not_found":
        return f"its key {problem['ctx']['discriminator']} is missing; found {found}"
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    text = problem["msg"].removeprefix("Input ")
    return f"{text[0].lower()}{text[1:]}; found {found}"


def _locate(
    location: tuple[int | str, ...], model: type[BaseModel], *, ends_with_a_key: bool
) -> tuple[str, list[str]]:
    """Key as the file spells it, and the keys allowed beside it.

    pydantic adds to the path of an error which kind of a union it took; the schema tells these
    tags from the keys of the file. An unknown key may look like a tag, so the end of its path is
    taken as it is.
    """
    schema: Any = model.model_json_schema()
    definitions = schema["$defs"]
    node, keys, siblings = schema, [], sorted(schema["properties"])
    for place, part in enumerate(location, start=1):
        node = _dereference(node, definitions)
        if ends_with_a_key and place == len(location):
            keys.append(str(part) if str(part).isprintable() else repr(part))
            return ".".join(keys), sorted(node.get("properties", {}))
        if "discriminator" in node:
            node = {"$ref": node["discriminator"]["mapping"].get(part, "#/$defs/Strict")}
            continue
        if part == "[key]":  # it is the key itself, named before, that is wrong
            continue
        if part in definitions or str(part).startswith("literal["):  # a choice without a tag
            node = definitions.get(part, {})
            continue
        keys.append(str(part) if str(part).isprintable() else repr(part))
        siblings = sorted(node.get("properties", {}))
        # names that the user chose (of models, tasks ...) are pattern properties of their section
        chosen: Any = next(iter(node.get("patternProperties", {}).values()), {})
        node = node.get("properties", {}).get(part, chosen)
    return ".".join(keys), siblings


def _dereference(node: Any, definitions: Any) -> Any:
    while True:
        if "$ref" in node:
            node = definitions.get(node["$ref"].rsplit("/", 1)[1], {})
        elif "anyOf" in node:
            node = next(choice for choice in node["anyOf"] if choice.get("type") != "null")
        else:
            return node if isinstance(node, dict) else {}
