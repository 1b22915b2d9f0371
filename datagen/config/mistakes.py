"""Messages about an invalid configuration: every mistake on its line, with place, expectation and finding."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from datagen.config.overrides import Place, written


def explain(error: ValidationError, model: type[BaseModel], where: str, overridden: Collection[Place] = ()) -> str:
    """Return all mistakes that pydantic found in data for `model`, those in `overridden` places marked `--set`.

    `where` names the file.
    """
    lines = [_sentence(mistake, model, overridden) for mistake in error.errors(include_url=False)]
    head = f"{where}: {len(lines)} mistakes" if len(lines) > 1 else f"{where}: one mistake"
    return "\n".join([head, *(f"  {line}" for line in lines)])


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean NAME?" for a misspelt name, or an empty text where no known name is near."""
    lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    if not near:  # `symprec` for `symprec_A`, `max_volume` for `max_volume_A3`: the unit is often forgotten
        near = [one for one in lower if one.startswith(name.lower()) and len(name) >= 3][:1]
    return f"; did you mean {lower[near[0]]}?" if near else ""


def _sentence(mistake: ErrorDetails, model: type[BaseModel], overridden: Collection[Place]) -> str:
    """Return one mistake as a sentence."""
    steps, parent = _follow(mistake["loc"], model)
    place = written(steps) or "the whole"
    if any(steps[: len(override)] == override for override in overridden):
        place = f"--set {place}"
    kind, found, context = mistake["type"], _shown(mistake["input"]), mistake.get("ctx", {})
    if kind == "extra_forbidden":
        known = sorted(parent.model_fields) if parent else []
        guess = did_you_mean(str(mistake["loc"][-1]), known)
        return f"{place}: unknown key, found {found}{guess or '; known keys: ' + ', '.join(known)}"
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


def _follow(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[Place, type[BaseModel] | None]:
    """Return the place without pydantic's steps into unions, and the model that the last step was taken in."""
    steps: Place = ()
    parent, here = None, model  # type: type[BaseModel] | None, Any
    for step in loc:
        here, is_key, parent = _step(here, step, parent)
        steps = (*steps, step) if is_key else steps
    return steps, parent


def _annotation_at(loc: tuple[int | str, ...], model: type[BaseModel]) -> Any:
    here: Any = model
    for step in loc:
        here, _, _ = _step(here, step, None)
    return here


def _step(here: Any, step: int | str, parent: type[BaseModel] | None) -> tuple[Any, bool, type[BaseModel] | None]:
    """Take one step of a location: return what is there, whether it is a key, and the model it was taken in."""
    here = _plain(here)
    if isinstance(here, type) and issubclass(here, BaseModel):
        field = here.model_fields.get(str(step))
        return (None if field is None else field.annotation), True, here
    members = _members(here)
    for member in members:
        if step in _tags(member):
            return member, False, parent
    inner = [a for a in get_args(here) if a is not Ellipsis]
    if isinstance(step, int):
        return (inner[min(step, len(inner) - 1)] if inner else None), True, parent
    return (inner[-1] if inner else None), True, parent


def _plain(annotation: Any) -> Any:
    """Return an annotation without Annotated, and without None where it is optional."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    members = [m for m in _members(annotation) if m is not type(None)]
    return _plain(members[0]) if len(members) == 1 and len(_members(annotation)) == 2 else annotation


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ()


def _tags(annotation: Any) -> list[str]:
    """Return the values of `kind` that select a model, or any member of a union."""
    annotation = _plain(annotation)
    if members := _members(annotation):
        return [tag for member in members for tag in _tags(member)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and "kind" in annotation.model_fields:
        return [str(tag) for tag in get_args(annotation.model_fields["kind"].annotation)]
    return []
