"""`pm status`: where everything is, read only; each part that cannot be read says why and spoils no other."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial

import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from pm_cutover.aws.session import as_pm_error
from pm_cutover.control import FenceState, fence_of
from pm_cutover.database import Environment, cut_after
from pm_cutover.environment import ENVIRONMENTS
from pm_cutover.errors import PmError
from pm_cutover.evidence import Value
from pm_cutover.phases.run import Run, Writer

ANSWER_SECONDS = 5.0  # for what a healthy server answers at once

Status = dict[str, Value]


def status(run: Run) -> Status:
    """One JSON object; its keys are stable.

    ``suffix``, ``region``, ``time`` (UTC); ``writer`` ``{open, finished, source, target}`` with each side's fence;
    ``tasks`` ``[{name, identifier, status, message, source_lag_seconds, target_lag_seconds}]``; ``slots``
    ``{source, target}``, each ``[{name, active, behind_bytes}]``; ``tables`` ``[{table, state, rows, inserts, updates,
    deletes, validation}]`` of the task that runs, else of ``load``; ``weights`` ``{route53, parameters}``; ``services``
    ``{source, target}``; ``alarms`` ``[{name, state, reason}]``; ``stacks`` ``[{name, status, version,
    deployed_at, changed_inputs}]``.
    A part that could not be read is ``{error}``, of ``writer``, ``slots`` and ``services`` the side alone.
    """
    parts: dict[str, Callable[[Run], Value]] = {
        "writer": _writer,
        "tasks": _tasks,
        "slots": _slots,
        "tables": _tables,
        "weights": _weights,
        "services": _services,
        "alarms": _alarms,
        "stacks": _stacks,
    }
    return {
        "suffix": run.deployment.suffix,
        "region": run.deployment.aws.region,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        **{name: _readable(part, run) for name, part in parts.items()},
    }


def _readable(part: Callable[[Run], Value], run: Run) -> Value:
    try:
        return part(run)
    except PmError as error:
        return {"error": str(error)}
    except (BotoCoreError, ClientError) as error:
        return {"error": str(as_pm_error(error))}
    except psycopg.Error as error:
        return {"error": " ".join(str(error).split())}


def _writer(run: Run) -> Value:
    fences: dict[Environment, FenceState] = {}

    def fence(side: Environment, run: Run) -> Value:
        with run.deployment.database(side).connect() as connection, cut_after(ANSWER_SECONDS, connection):
            fences[side] = fence_of(connection)
        return dict(asdict(fences[side]))

    sides: dict[str, Value] = {side: _readable(partial(fence, side), run) for side in ENVIRONMENTS}
    # When one side does not answer, nothing is known of both together.
    writer = Writer(source=fences["source"], target=fences["target"]) if len(fences) == len(ENVIRONMENTS) else None
    return {
        "open": writer.open if writer is not None else None,
        "finished": writer is not None and writer.finished,
        **sides,
    }


def _tasks(run: Run) -> Value:
    replication = run.deployment.replication()
    cloudwatch = run.deployment.cloudwatch()
    found: list[Value] = []
    for name, task in (("load", replication.load), ("forward", replication.forward), ("reverse", replication.reverse)):
        state = task.state()
        lag = cloudwatch.reported_lag(
            instance_identifier=run.deployment.replication_instance_identifier(), task_arn=task.arn
        )
        found.append(
            {
                "name": name,
                "identifier": state.identifier,
                "status": state.status,
                "message": state.message,
                "source_lag_seconds": lag.source_seconds if state.running else None,
                "target_lag_seconds": lag.target_seconds if state.running else None,
            }
        )
    return found


def _slots(run: Run) -> Value:
    def slots(side: Environment, run: Run) -> Value:
        with run.deployment.database(side).connect() as connection, cut_after(ANSWER_SECONDS, connection):
            rows = connection.execute(
                "select slot_name, active, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint "
                "from pg_replication_slots where slot_type = 'logical' order by 1"
            ).fetchall()
        return [{"name": name, "active": active, "behind_bytes": behind} for name, active, behind in rows]

    return {side: _readable(partial(slots, side), run) for side in ENVIRONMENTS}


def _tables(run: Run) -> Value:
    replication = run.deployment.replication()
    running = (task for task in (replication.reverse, replication.forward) if task.state().running)
    return [dict(asdict(load)) for load in next(running, replication.load).loads()]


def _weights(run: Run) -> Value:
    traffic = run.deployment.traffic()
    return {"route53": dict(asdict(traffic.recorded())), "parameters": dict(asdict(traffic.kept()))}


def _services(run: Run) -> Value:
    def service(side: Environment, run: Run) -> Value:
        health = run.deployment.service(side).health()
        return {**asdict(health), "good": health.good}

    return {side: _readable(partial(service, side), run) for side in ENVIRONMENTS}


def _alarms(run: Run) -> Value:
    names = run.deployment.alarm_names()
    alarms = run.deployment.cloudwatch().alarms(names)
    return [{"name": alarm.name, "state": alarm.state, "reason": alarm.reason} for alarm in alarms]


def _stacks(run: Run) -> Value:
    return [{**asdict(stack), "changed_inputs": list(stack.changed_inputs)} for stack in run.deployment.stacks()]
