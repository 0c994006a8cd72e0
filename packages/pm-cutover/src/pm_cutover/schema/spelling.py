"""When two definitions mean the same."""

import re

# PostgreSQL writes some casts elsewhere after a definition has been dumped and read again: a list of varchar is cast to
# text as a whole before, and word by word after.
_CASTS = re.compile(
    r'::(?:"[^"]+"|character varying|bit varying|double precision|\w+)(?:\.(?:"[^"]+"|\w+))?(?:\(\d+(?:,\d+)?\))?'
    r"(?: with(?:out)? time zone)?(?:\[\])*"
)
_GROUPING = re.compile(r"[()\s]")


def meaning(definition: str) -> str:
    """A definition without casts, parentheses and white space: the same for two that mean the same."""
    return _GROUPING.sub("", _CASTS.sub("", definition))
