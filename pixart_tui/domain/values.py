"""The base of every value that is written to a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError

Hook = Callable[[list[tuple[str, Any]]], Any]

_HALF: Final = (b"\\ud", b"\\uD")
"""How JSON spells a byte of a name that is not UTF-8, as Python keeps it (PEP 383)."""


class Value(BaseModel):
    """An immutable value; unknown fields are ignored, so that older readers open newer files.

    Names of files may hold bytes that are not UTF-8: JSON keeps those as escapes, as Python's own
    does, which pydantic's neither writes nor reads.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, defer_build=True)

    def replace(self, **changes: Any) -> Self:
        """A copy with other fields, which are checked as those of a new value are.

        Raises:
            TypeError: There is no such field.
            ValidationError: A field cannot have that value.
        """
        if unknown := changes.keys() - type(self).model_fields.keys():
            raise TypeError(f"{type(self).__name__} has no field {', '.join(sorted(unknown))}")
        known = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self).model_validate(known | changes)

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """The value as JSON."""
        try:
            return super().model_dump_json(indent=indent, **options)
        except PydanticSerializationError:
            options.pop("ensure_ascii", None)
            content = self.model_dump(mode="json", **options)
            separators = (",", ":") if indent is None else None
            return json.dumps(content, indent=indent, separators=separators)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """The value that JSON holds.

        Raises:
            ValidationError: It is not JSON, or holds no such value.
        """
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError:
            if (content := with_halves(json_data)) is None:
                raise
            return cls.model_validate(content, **options)


def read_old_names(names: Mapping[str, str]) -> Callable[[Any], Any]:
    """A validator that reads fields by the names that earlier versions wrote.

    Args:
        names: Old name to new name.
    """

    def renamed(data: Any) -> Any:
        if not isinstance(data, Mapping) or names.keys().isdisjoint(data):
            return data
        return {names.get(key, key): value for key, value in data.items()}

    return renamed


def with_halves(json_data: str | bytes | bytearray) -> Any:
    """Parses JSON whose strings hold lone surrogates; None without any, or if it is no JSON."""
    data = json_data.encode(errors="replace") if isinstance(json_data, str) else json_data
    if not any(half in data for half in _HALF):
        return None
    try:
        return parse_json(data)
    except ValueError:
        return None


def parse_json(text: str | bytes | bytearray, hook: Hook | None = None) -> Any:
    """Parses JSON that others wrote.

    Args:
        text: The JSON.
        hook: Takes the pairs of each object, as ``json.loads`` has it.

    Raises:
        json.JSONDecodeError: It is no JSON, or is nested so deeply that Python gives up.
    """
    try:
        return json.loads(text, object_pairs_hook=hook)
    except RecursionError:
        raise json.JSONDecodeError("it is nested too deeply", "", 0) from None
