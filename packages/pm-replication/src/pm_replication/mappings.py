"""Which tables DMS replicates, as its table mapping document."""

import json
import re
from collections.abc import Sequence

_TABLE = re.compile(r"(?P<schema>[A-Za-z_][A-Za-z0-9_$]*)\.(?P<table>[A-Za-z_][A-Za-z0-9_$]*)")


class MappingError(ValueError):
    """The list of tables cannot become a mapping; the message names the wrong entries."""


def table_mappings(tables: Sequence[str]) -> str:
    """One explicit include rule per table, as the JSON text of ``TableMappings``.

    DMS reads ``%`` as a wildcard, so no name may hold one; it also reads ``_`` as "any one character", which stays:
    it could only pull in a table whose name differs from a payment table's in exactly that place.

    Rules are sorted by table: reordering the settings must not change a task, since a running task cannot be modified.

    Args:
        tables: ``schema.table`` each, at least one, none twice.

    Returns:
        A JSON object with ``rules``; ids and names count from 1.

    Raises:
        MappingError: No table, a table listed twice, or a name that is not ``schema.table``.

    Source: AWS DMS user guide, table selection rules.
    """
    if not tables:
        raise MappingError("no table to replicate: list at least one as schema.table")
    matches = {table: _TABLE.fullmatch(table) for table in tables}
    if wrong := sorted(table for table, match in matches.items() if match is None):
        raise MappingError(f"{', '.join(map(repr, wrong))}: write each table as schema.table, without wildcards")
    if len(matches) != len(tables):
        twice = sorted(table for table in matches if list(tables).count(table) > 1)
        raise MappingError(f"listed more than once: {', '.join(twice)}")
    rules = [
        {
            "rule-type": "selection",
            "rule-id": str(number),
            "rule-name": f"include-{number}",
            "object-locator": {"schema-name": match["schema"], "table-name": match["table"]},
            "rule-action": "include",
        }
        for number, match in enumerate((match for _, match in sorted(matches.items()) if match), start=1)
    ]
    return json.dumps({"rules": rules}, separators=(",", ":"))
