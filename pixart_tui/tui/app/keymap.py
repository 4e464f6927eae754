"""The keys that a user may change: what they do by name, and which may not be the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import combinations
from string import punctuation
from typing import Final

from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import Keys

from pixart_tui.domain.errors import RequestError

_OURS: Final = "pixart_tui."
_SIGNS: Final = Binding.make_bindings(Binding(sign, "") for sign in punctuation if sign != ",")
_NAMES: Final = {key.value for key in Keys} | {sign.key for sign in _SIGNS} | {"comma"}
_MODIFIERS: Final = {"ctrl", "shift", "alt", "super", "meta", "hyper"}


def named_bindings(kinds: Iterable[type[DOMNode]]) -> dict[str, list[Binding]]:
    """The bindings of some widgets by their ids, those that they inherit from ours included."""
    found: dict[str, list[Binding]] = {}
    for kind in dict.fromkeys(base for leaf in kinds for base in leaf.__mro__):
        if kind.__module__.startswith(_OURS):
            for binding in Binding.make_bindings(vars(kind).get("BINDINGS", ())):
                found.setdefault(binding.id or "", []).append(binding)
    return found


def check_keys(
    keys: Mapping[str, str],
    everywhere: Sequence[type[DOMNode]],
    tabs: Sequence[type[DOMNode]],
    place: str,
) -> None:
    """Refuses a keymap that could not be obeyed.

    Args:
        keys: Keys by the name of what they do.
        everywhere: What hears keys on every tab.
        tabs: What hears keys on one tab each.
        place: Where the keymap was read.

    Raises:
        RequestError: An unknown name or key, or one key for two things.
    """
    known = named_bindings([*everywhere, *tabs])
    for name, given in keys.items():
        if name not in known or not name:
            raise _unknown(name, known, place)
        for key in _split(given):
            _check_key(name, key, place)
    for tab in tabs:
        _check_clashes(keys, named_bindings([*everywhere, tab]), place)


def _split(given: str) -> list[str]:
    return [key.strip() for key in given.split(",")]


def _unknown(name: str, known: Mapping[str, object], place: str) -> RequestError:
    similar = get_close_matches(name, known, n=3) or sorted(filter(None, known))
    return RequestError(
        f'{place}: [keys] knows no "{name}"',
        cause="there is: " + ", ".join(similar),
        next_step="docs/dashboard.md lists all names",
    )


def _check_key(name: str, key: str, place: str) -> None:
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    if set(modifiers) <= _MODIFIERS and (len(last) == 1 or last in _NAMES):
        return
    raise RequestError(
        f'{place}: "{key}" for {name} is no key',
        cause="a key is a character, or for example f2, ctrl+s, shift+left, pageup, escape",
        next_step="several keys are separated by commas",
    )


def _check_clashes(
    keys: Mapping[str, str], heard: Mapping[str, Sequence[Binding]], place: str
) -> None:
    """Refuses a key that would do two things on one tab, if the user gave one of the two."""
    wanted = {name: _keys_of(name, keys, bindings) for name, bindings in heard.items()}
    for (name, ours), (other, theirs) in combinations(wanted.items(), 2):
        if (name in keys or other in keys) and (both := ours & theirs):
            raise RequestError(
                f'{place}: "{min(both)}" would be both {name} and {other}',
                cause="both keys are heard on one screen",
                next_step="give one of them another key",
            )


def _keys_of(name: str, keys: Mapping[str, str], bindings: Sequence[Binding]) -> set[str]:
    if name not in keys:
        return {binding.key for binding in bindings}
    given = ",".join(_split(keys[name]))
    return {binding.key for binding in Binding.make_bindings([Binding(given, "")])}
