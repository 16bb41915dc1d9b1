"""Why a value is refused, in words of who gave it: msgspec tells it in types and patterns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from engine.config import NAME_PATTERN

if TYPE_CHECKING:
    import msgspec

WORDS: Final = {
    "`str`": "text",
    "`int`": "a whole number",
    "`float`": "a number",
    "`bool`": "true or false",
    "`array`": "a list",
    "`object`": "named fields",
    "`null`": "nothing",
}
NO_FIELD: Final = "no such field"
NAME_WORDS: Final = "1 to 24 small letters, digits, _ and -, the first a letter or digit"
_TYPE: Final = re.compile("|".join(WORDS))
_PATTERN: Final = re.compile(r"expected text matching regex '(.*)'")
_CHOICE: Final = re.compile(r"\^\(([\w|]*)\)\$")
_FIELD: Final = re.compile(r"Object (contains unknown|missing required) field `(.*)`")


def place_and_reason(error: msgspec.ValidationError) -> tuple[str, str]:
    """Return which field is wrong, dotted, or nothing for the whole, and what is wrong with it."""
    told, _, where = str(error).partition(" - at `$")
    place = where.strip("`.")
    field = _FIELD.fullmatch(told)
    if field is not None:
        reason = "is missing" if field[1].startswith("missing") else NO_FIELD
        return f"{place}.{field[2]}".strip("."), reason
    reason = _TYPE.sub(lambda found: WORDS[found[0]], told).replace("Expected", "expected", 1)
    return place, _PATTERN.sub(_shape, reason)


def _shape(found: re.Match[str]) -> str:
    pattern = found[1]
    if pattern == NAME_PATTERN:
        return f"expected {NAME_WORDS}"
    choice = _CHOICE.fullmatch(pattern)
    if choice is None:
        return f"expected text that matches {pattern}"
    *others, last = (word or "nothing" for word in choice[1].split("|"))
    return f"expected {', '.join(others)} or {last}"
