"""The part of a task's ``ReplicationTaskSettings`` that decides what the embedded AWS does."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
_PREPARATIONS = {"DO_NOTHING": False, "TRUNCATE_BEFORE_LOAD": True}
_DEFAULT_PREPARATION = "DROP_AND_CREATE"


class SettingsError(ValueError):
    """Task settings are malformed, or ask for what the embedded AWS does not do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """What a task does beside moving rows.

    Attributes:
        truncate: Empty each target table before it is loaded.
        capture_truncate: Repeat the source's TRUNCATE on the target.
        validate: Compare both sides while the task runs.
    """

    truncate: bool
    capture_truncate: bool
    validate: bool


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
        validate=bool(_section(settings, "ValidationSettings").get("EnableValidation", False)),
    )


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


def _section(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = settings.get(name) or {}
    if not isinstance(section, Mapping):
        raise SettingsError(f"ReplicationTaskSettings.{name} must be an object")
    return section
