"""What is said of a configuration that is wrong: every mistake on its line, with place, expectation and finding."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


def explain(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """All mistakes that pydantic found in data for `model`; `where` names the file."""
    lines = [_sentence(mistake, model) for mistake in error.errors(include_url=False)]
    head = f"{where}: {len(lines)} mistakes" if len(lines) > 1 else f"{where}: one mistake"
    return "\n".join([head, *(f"  {line}" for line in lines)])


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A guess at what a misspelt name was to be, as an end to a sentence; empty where nothing is near."""
    lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    if not near:  # `symprec` for `symprec_A`, `max_volume` for `max_volume_A3`: units are what people leave out
        near = [one for one in lower if one.startswith(name.lower()) and len(name) >= 3][:1]
    return f"; did you mean {lower[near[0]]}?" if near else ""


def _sentence(mistake: ErrorDetails, model: type[BaseModel]) -> str:
    """One mistake, pydantic's words turned into ours where those are clearer."""
    place, parent = _follow(mistake["loc"], model)
    kind, found, context = mistake["type"], _shown(mistake["input"]), mistake.get("ctx", {})
    if kind == "extra_forbidden":
        known = sorted(parent.model_fields) if parent else []
        guess = did_you_mean(str(mistake["loc"][-1]), known)
        return f"{place}: unknown key, found {found}{guess or '; known here: ' + ', '.join(known)}"
    if kind == "missing":
        field = parent.model_fields.get(str(mistake["loc"][-1])) if parent else None
        meaning = f": {field.description}" if field is not None and field.description else ""
        return f"{place}: missing, there is no default{meaning}"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        tags = _tags(_annotation_at(mistake["loc"], model))
        said = (
            f"found {_shown(context['tag'])}{did_you_mean(str(context['tag']), tags)}"
            if "tag" in context
            else "missing"
        )
        return f"{place}.{context['discriminator'].strip(chr(39))}: expected one of {', '.join(tags)}; {said}"
    if kind == "value_error":
        reason = str(context["error"])
        return f"{place}: {reason}" if "found" in reason or not found else f"{place}: {reason}, found {found}"
    return f"{place}: {mistake['msg'].replace('Input should be', 'expected')}, found {found}"


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel):
        return ""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else text[:117] + "..."


def _follow(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[str, type[BaseModel] | None]:
    """The place as a person would write it, and the model that the last step was taken in."""
    place, parent, here = "", None, model  # type: str, type[BaseModel] | None, Any
    for step in loc:
        here, shown, parent = _step(here, step, parent)
        place += shown
    return place.removeprefix(".") or "the whole", parent


def _annotation_at(loc: tuple[int | str, ...], model: type[BaseModel]) -> Any:
    here: Any = model
    for step in loc:
        here, _, _ = _step(here, step, None)
    return here


def _step(here: Any, step: int | str, parent: type[BaseModel] | None) -> tuple[Any, str, type[BaseModel] | None]:
    """One step of a location: what is there, how the step is written, and the model it was taken in."""
    here = _plain(here)
    if isinstance(here, type) and issubclass(here, BaseModel):
        field = here.model_fields.get(str(step))
        return (None if field is None else field.annotation), f".{step}", here
    members = _members(here)
    for member in members:
        if step in _tags(member):
            return member, "", parent
    if isinstance(step, int):
        inner = [a for a in get_args(here) if a is not Ellipsis]
        return (inner[min(step, len(inner) - 1)] if inner else None), f"[{step}]", parent
    inner = list(get_args(here))
    return (inner[-1] if inner else None), f".{step}", None


def _plain(annotation: Any) -> Any:
    """An annotation without Annotated, and without None where it is optional."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    members = [m for m in _members(annotation) if m is not type(None)]
    return _plain(members[0]) if len(members) == 1 and len(_members(annotation)) == 2 else annotation


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ()


def _tags(annotation: Any) -> list[str]:
    """Values of `kind` that a model, or the members of a union, answer to."""
    annotation = _plain(annotation)
    if members := _members(annotation):
        return [tag for member in members for tag in _tags(member)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and "kind" in annotation.model_fields:
        return [str(tag) for tag in get_args(annotation.model_fields["kind"].annotation)]
    return []
