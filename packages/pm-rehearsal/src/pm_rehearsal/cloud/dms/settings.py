"""The part of a task's ``ReplicationTaskSettings`` that decides what the embedded AWS does."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pm_rehearsal.cloud.dms.control_tables import DEFAULT_SCHEMA

# Sections of the document; what is in the ones that are not read below tunes DMS's own machinery, which is not here.
_SECTIONS = frozenset(
    {
        *("TargetMetadata", "FullLoadSettings", "Logging", "ControlTablesSettings", "StreamBufferSettings"),
        *("ChangeProcessingTuning", "ChangeProcessingDdlHandlingPolicy", "ErrorBehavior", "ValidationSettings"),
        *("TTSettings", "BeforeImageSettings", "LoopbackPreventionSettings", "PostProcessingRules"),
        *("CharacterSetSettings", "FailTaskWhenCleanTaskResourceFailed"),
    }
)
_CHANGING_ROWS = frozenset(
    {"BeforeImageSettings", "LoopbackPreventionSettings", "PostProcessingRules", "CharacterSetSettings"}
)
# What DMS knows of these two sections. Source: AWS DMS user guide, "Data validation task settings", "Control table task
# settings".
_VALIDATION = frozenset(
    {
        *("EnableValidation", "ValidationMode", "ValidationOnly", "ThreadCount", "PartitionSize", "FailureMaxCount"),
        *("TableFailureMaxCount", "RecordFailureDelayInMinutes", "RecordFailureDelayLimitInMinutes"),
        *("RecordSuspendDelayInMinutes", "MaxKeyColumnSize", "HandleCollationDiff", "SkipLobColumns"),
        *("ValidationPartialLobSize", "ValidationQueryCdcDelaySeconds"),
    }
)
_CONTROL_TABLES = frozenset(
    {
        *("ControlSchema", "HistoryTimeslotInMinutes", "HistoryTableEnabled", "SuspendedTablesTableEnabled"),
        *("StatusTableEnabled", "FullLoadExceptionTableEnabled"),
    }
)
_MORE_CONTROL_TABLES = tuple(sorted(name for name in _CONTROL_TABLES if name.endswith("TableEnabled")))
_PREPARATIONS = {"DO_NOTHING": False, "TRUNCATE_BEFORE_LOAD": True}
_DEFAULT_PREPARATION = "DROP_AND_CREATE"


class SettingsError(ValueError):
    """Task settings are malformed, or ask for what the embedded AWS does not do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """How both sides are compared.

    Attributes:
        failure_delay_minutes: A row is reported as different once it has been so for as long.
        failures_at_most: Rows of the task after which nothing more is compared.
        table_failures_at_most: Rows of one table after which it is not compared any more.
    """

    failure_delay_minutes: float
    failures_at_most: int
    table_failures_at_most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """What a task does beside moving rows.

    Attributes:
        truncate: Empty each target table before it is loaded.
        capture_truncate: Repeat the source's TRUNCATE on the target.
        validation: Compare both sides while the task runs; None compares nothing.
        control_schema: Where on the target DMS's own tables are.
    """

    truncate: bool
    capture_truncate: bool
    validation: Validation | None
    control_schema: str


def parse_settings(document: str, *, load: bool) -> TaskSettings:
    """Read a task's settings.

    Args:
        document: JSON; empty for all of DMS's defaults.
        load: Whether the task begins with a full load.

    Raises:
        SettingsError: Names the setting and what is supported.

    Source: AWS DMS user guide, "Specifying task settings".
    """
    try:
        settings = json.loads(document or "{}")
    except json.JSONDecodeError as error:
        raise SettingsError(f"ReplicationTaskSettings is not JSON: {error}") from error
    if not isinstance(settings, Mapping):
        raise SettingsError("ReplicationTaskSettings must be a JSON object")
    unknown = sorted(set(settings) - _SECTIONS)
    if unknown:
        raise SettingsError(f"ReplicationTaskSettings: unknown section {', '.join(unknown)}")
    changing = sorted(name for name in _CHANGING_ROWS if settings.get(name))
    if changing:
        raise SettingsError(f"{', '.join(changing)} is not supported by the embedded AWS: rows are moved as they are")
    loading = _section(settings, "FullLoadSettings")
    _check_load(loading, load=load)
    if _section(settings, "TargetMetadata").get("SupportLobs") is False:
        raise SettingsError(
            "TargetMetadata.SupportLobs false makes DMS drop text and jsonb columns silently: set it to true"
        )
    return TaskSettings(
        truncate=load and _PREPARATIONS[loading["TargetTablePrepMode"]],
        capture_truncate=bool(
            _section(settings, "ChangeProcessingDdlHandlingPolicy").get("HandleSourceTableTruncated", True)
        ),
        validation=_validation(_known(settings, "ValidationSettings", _VALIDATION)),
        control_schema=_control_schema(_known(settings, "ControlTablesSettings", _CONTROL_TABLES)),
    )


def _validation(section: Mapping[str, Any]) -> Validation | None:
    if not section.get("EnableValidation", False):
        return None
    mode = section.get("ValidationMode", "ROW_LEVEL")
    if mode not in {"ROW_LEVEL", "GROUP_LEVEL"}:
        raise SettingsError(f"ValidationSettings.ValidationMode {mode} is not one of ROW_LEVEL, GROUP_LEVEL")
    for name in ("ValidationOnly", "SkipLobColumns"):
        if section.get(name):
            raise SettingsError(f"ValidationSettings.{name} true is not supported by the embedded AWS: set it to false")
    return Validation(
        failure_delay_minutes=float(section.get("RecordFailureDelayInMinutes", 5)),
        failures_at_most=int(section.get("FailureMaxCount", 10_000)),
        table_failures_at_most=int(section.get("TableFailureMaxCount", 1_000)),
    )


def _control_schema(section: Mapping[str, Any]) -> str:
    for name in _MORE_CONTROL_TABLES:
        if section.get(name):
            raise SettingsError(f"ControlTablesSettings.{name} true is not supported by the embedded AWS")
    return str(section.get("ControlSchema") or DEFAULT_SCHEMA)


def _check_load(loading: Mapping[str, Any], *, load: bool) -> None:
    preparation = loading.get("TargetTablePrepMode", _DEFAULT_PREPARATION)
    if load and preparation not in _PREPARATIONS:
        raise SettingsError(
            f"FullLoadSettings.TargetTablePrepMode {preparation} is not supported: create the tables on the target "
            f"first and set it to one of {', '.join(_PREPARATIONS)} (DMS's default is {_DEFAULT_PREPARATION})"
        )
    for name in ("StopTaskCachedChangesApplied", "StopTaskCachedChangesNotApplied", "CreatePkAfterFullLoad"):
        if loading.get(name):
            raise SettingsError(f"FullLoadSettings.{name} true is not supported by the embedded AWS: set it to false")


def _known(settings: Mapping[str, Any], name: str, known: frozenset[str]) -> Mapping[str, Any]:
    section = _section(settings, name)
    unknown = sorted(set(section) - known)
    if unknown:
        raise SettingsError(f"{name}: unknown setting {', '.join(unknown)}; {', '.join(sorted(known))} are known")
    return section


def _section(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = settings.get(name) or {}
    if not isinstance(section, Mapping):
        raise SettingsError(f"ReplicationTaskSettings.{name} must be an object")
    return section
