"""What a task may be, and when it may be started in which way: rules 1 to 3 of DMS's behaviour."""

import re

from pm_rehearsal.cloud.dms.mappings import MappingError, parse_mappings
from pm_rehearsal.cloud.dms.settings import SettingsError, parse_settings
from pm_rehearsal.cloud.dms.task import CDC, LOAD, Task
from pm_rehearsal.cloud.extension import ServiceError

START, RESUME, RELOAD = "start-replication", "resume-processing", "reload-target"
_LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")


def check_documents(migration_type: str, mappings: str, settings: str | None) -> None:
    """Refuse what a task of this type could not honour."""
    if migration_type not in {LOAD, CDC}:
        raise ServiceError(
            "InvalidParameterValueException",
            f"MigrationType {migration_type} is not supported by the embedded AWS; {LOAD} and {CDC} are",
        )
    try:
        parse_mappings(mappings)
        parse_settings(settings or "{}", load=migration_type == LOAD)
    except (MappingError, SettingsError) as error:
        raise ServiceError("InvalidParameterValueException", str(error)) from error


def check_position(position: str | None, migration_type: str) -> None:
    """Refuse a start position that is not an LSN, or that the type of task does not take."""
    if not position:
        return
    if migration_type != CDC:
        raise ServiceError(
            "InvalidParameterCombinationException", f"CdcStartPosition is for tasks of MigrationType {CDC} only"
        )
    if not _LSN.fullmatch(position):
        raise ServiceError(
            "InvalidParameterValueException",
            f"CdcStartPosition {position!r} is not an LSN such as 0/1A2B3C (checkpoints are not supported)",
        )


def check_start(kind: str, task: Task, position: str | None) -> None:
    """Refuse a way of starting that does not fit what the task did before."""
    if kind not in {START, RESUME, RELOAD}:
        raise ServiceError("InvalidParameterValueException", f"StartReplicationTaskType {kind} is unknown")
    check_position(position, task["MigrationType"])
    if position and kind != START:
        raise ServiceError("InvalidParameterCombinationException", f"CdcStartPosition is for {START} only")
    if task["Status"] == "ready" and kind != START:
        raise ServiceError(
            "InvalidParameterCombinationException",
            f"Start Type : {kind.upper().replace('-', '_')}, valid only for tasks running previously",
        )
    if task["Status"] != "ready" and kind == START and not position:
        raise ServiceError(
            "InvalidParameterCombinationException",
            f"Start Type : START_REPLICATION, valid only for tasks running for the first time: use {RESUME} or "
            f"{RELOAD}, or give a {CDC} task a CdcStartPosition",
        )
    if kind == RELOAD and task["MigrationType"] == CDC:
        raise ServiceError("InvalidParameterCombinationException", f"{RELOAD} is not for tasks of MigrationType {CDC}")


def check_slot(task: Task, slot: str | None) -> None:
    """Refuse a full load from an endpoint with a slot: DMS wants a CdcStartPosition then, which no load takes.

    Source: PostgreSQLSettings SlotName in the API reference.
    """
    if slot and task["MigrationType"] == LOAD:
        raise ServiceError(
            "InvalidParameterCombinationException",
            f"the source endpoint names slot {slot}, which needs a CdcStartPosition, "
            f"and a task of MigrationType {LOAD} takes none: give it an endpoint without SlotName",
        )


def invalid_state(message: str) -> ServiceError:
    """The error of an action that comes at the wrong moment."""
    return ServiceError("InvalidResourceStateFault", message)
