"""Which tables a replication task moves: the selection rules of a DMS table-mapping document."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Table = tuple[str, str]  # schema, name

_ACTIONS = frozenset({"include", "exclude", "explicit"})
_RULE_KEYS = frozenset({"rule-type", "rule-id", "rule-name", "rule-action", "object-locator", "filters"})
_LOCATOR_KEYS = frozenset({"schema-name", "table-name", "table-type"})
_WILDCARDS = frozenset("%[")  # an underscore is one too, but a name that matches literally is what it means


class MappingError(ValueError):
    """A table-mapping document is malformed, or asks for what the embedded AWS does not do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One selection rule.

    Attributes:
        action: ``include``, ``exclude`` or ``explicit`` (exact names, no wildcards).
        schema: Pattern of the schema's name: ``%`` any text, ``_`` one character, ``[ab]`` and ``[^ab]`` a set.
        table: Pattern of the table's name.
    """

    action: str
    schema: str
    table: str

    def matches(self, table: Table) -> bool:
        """Whether the rule speaks of this table."""
        if self.action == "explicit":
            return table == (self.schema, self.table)
        return bool(_pattern(self.schema).fullmatch(table[0]) and _pattern(self.table).fullmatch(table[1]))

    @property
    def names_one_table(self) -> bool:
        """Whether the rule was written for exactly one table."""
        return self.action == "explicit" or (
            self.action == "include" and not _WILDCARDS & (set(self.schema) | set(self.table))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMappings:
    """All selection rules of a task, in document order."""

    rules: tuple[Rule, ...]

    def select(self, tables: Iterable[Table]) -> list[Table]:
        """The tables to move, sorted: included or named explicitly, and not excluded."""
        return sorted(
            table
            for table in tables
            if any(rule.matches(table) for rule in self.rules if rule.action != "exclude")
            and not any(rule.matches(table) for rule in self.rules if rule.action == "exclude")
        )

    def missing(self, tables: Iterable[Table]) -> list[Table]:
        """Tables that a rule names one by one and that do not exist."""
        existing = list(tables)
        return sorted(
            (rule.schema, rule.table)
            for rule in self.rules
            if rule.names_one_table and not any(rule.matches(table) for table in existing)
        )


def parse_mappings(document: str) -> TableMappings:
    """Read a task's ``TableMappings``.

    Raises:
        MappingError: Names the rule and what is wrong with it.

    Source: AWS DMS user guide, "Selection rules and actions", "Wildcards in table mapping".
    """
    try:
        content = json.loads(document)
    except json.JSONDecodeError as error:
        raise MappingError(f"TableMappings is not JSON: {error}") from error
    if not isinstance(content, dict) or set(content) != {"rules"} or not isinstance(content["rules"], list):
        raise MappingError('TableMappings must be {"rules": [...]}')
    rules = tuple(_rule(rule) for rule in content["rules"])
    identifiers = [rule["rule-id"] for rule in content["rules"]]
    if len(set(identifiers)) < len(identifiers):
        raise MappingError("TableMappings: every rule needs a rule-id of its own")
    if not any(rule.action != "exclude" for rule in rules):
        raise MappingError("TableMappings: at least one rule must include tables")
    return TableMappings(rules=rules)


def _rule(rule: Any) -> Rule:
    if not isinstance(rule, Mapping) or not rule.get("rule-id"):
        raise MappingError("TableMappings: every rule is an object with a rule-id")
    where = f"TableMappings, rule {rule['rule-id']}"
    if rule.get("rule-type") != "selection":
        raise MappingError(f"{where}: rule-type {rule.get('rule-type')!r} is not supported; only 'selection' is")
    _refuse_unknown(where, rule, _RULE_KEYS)
    if rule.get("filters"):
        raise MappingError(f"{where}: filters are not supported; whole tables are moved")
    action, locator = rule.get("rule-action"), rule.get("object-locator")
    if action not in _ACTIONS:
        raise MappingError(f"{where}: rule-action {action!r} is not one of {', '.join(sorted(_ACTIONS))}")
    if not isinstance(locator, Mapping):
        raise MappingError(f"{where}: object-locator is missing")
    _refuse_unknown(f"{where}, object-locator", locator, _LOCATOR_KEYS)
    if locator.get("table-type", "table") != "table":
        raise MappingError(f"{where}: table-type {locator['table-type']!r} is not supported; only 'table' is")
    schema, table = locator.get("schema-name"), locator.get("table-name")
    if not (isinstance(schema, str) and schema and isinstance(table, str) and table):
        raise MappingError(f"{where}: object-locator needs schema-name and table-name")
    return Rule(action=action, schema=schema, table=table)


def _refuse_unknown(where: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise MappingError(f"{where}: {', '.join(unknown)} is not supported; {', '.join(sorted(known))} are")


def _pattern(text: str) -> re.Pattern[str]:
    parts = re.split(r"(%|_|\[\^?[^\]]+\])", text)
    return re.compile("".join(_translate(part) for part in parts), re.DOTALL)


def _translate(part: str) -> str:
    if part == "%":
        return ".*"
    if part == "_":
        return "."
    if len(part) > 2 and part.startswith("[") and part.endswith("]"):
        negated = part.startswith("[^") and len(part) > 3
        return f"[{'^' if negated else ''}{re.escape(part[2 if negated else 1 : -1])}]"
    return re.escape(part)
