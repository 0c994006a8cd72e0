"""`pm preflight`: everything that would stop or spoil the migration later, found before anything is changed."""

from collections.abc import Iterator, Sequence

import psycopg

from pm_core.contracts import (
    ComputeContract,
    Contract,
    DataContract,
    NetworkContract,
    ObservabilityContract,
    ReplicationContract,
    TrafficContract,
    ZoneContract,
)
from pm_cutover.aws.tasks import ReplicationTask
from pm_cutover.database import DatabaseUnreachableError, Environment, cut_after
from pm_cutover.environment import ENVIRONMENTS, Deployment
from pm_cutover.errors import RefusedError
from pm_cutover.phases.findings import Finding, blocker, ok, warning
from pm_cutover.phases.run import Run, read_writer
from pm_cutover.phases.server_checks import check_server, check_text
from pm_cutover.phases.table_checks import check_extensions, check_source_tables, check_target_tables

CHECK_SECONDS = 600.0
_EVERYWHERE: tuple[type[Contract], ...] = (
    NetworkContract,
    DataContract,
    ComputeContract,
    TrafficContract,
    ObservabilityContract,
)
_NEEDED: tuple[tuple[type[Contract], Environment], ...] = (
    *((kind, environment) for environment in ENVIRONMENTS for kind in _EVERYWHERE),
    (ZoneContract, "source"),
    (ReplicationContract, "target"),
)


def preflight(run: Run) -> tuple[Finding, ...]:
    """Run every check that can be run; nothing is changed.

    Returns:
        All findings, in the order of the checks.
    """
    findings = list(_contracts(run.deployment))
    if all(finding.level == "ok" for finding in findings):
        for check in (_databases, _endpoints, _traffic, _services, _alarms):
            for finding in check(run):
                run.progress.waiting(f"{finding.id}: {finding.finding}")
                findings.append(finding)
    blockers = [finding.id for finding in findings if finding.level == "blocker"]
    run.evidence.record("preflight", {"checks": len(findings), "blockers": list(blockers)})
    return tuple(findings)


def refuse_blockers(findings: Sequence[Finding]) -> None:
    """Raise for the first blocker, counting the others.

    Raises:
        RefusedError: There is one.
    """
    blockers = [finding for finding in findings if finding.level == "blocker"]
    if blockers:
        more = f" (and {len(blockers) - 1} more: run `pm preflight`)" if len(blockers) > 1 else ""
        raise RefusedError(f"{blockers[0].id}: {blockers[0].finding} - {blockers[0].fix}{more}")


def _contracts(deployment: Deployment) -> Iterator[Finding]:
    for kind, environment in _NEEDED:
        check = f"stack.{kind.tier}-{environment}"
        try:
            deployment.contract(kind, environment)
        except RefusedError as error:
            yield blocker(check, str(error), "deploy that stack")
        else:
            yield ok(check, "deployed")


def _databases(run: Run) -> Iterator[Finding]:
    replication = run.deployment.replication()
    tables = replication.load.tables()
    for task, name in ((replication.forward, "forward"), (replication.reverse, "reverse")):
        if set(task.tables()) != set(tables):
            yield blocker(
                "replication.tables",
                f"tasks load and {name} do not replicate the same tables",
                "deploy the replication stack",
            )
    try:
        if read_writer(run).finished:
            yield blocker(
                "migration.finished",
                "pm finish has run: the target stands alone, the source is sealed for good",
                "set migrationPhase to complete, deploy the target, destroy the source",
            )
        with (
            run.source.connect() as source,
            run.target.connect() as target,
            cut_after(CHECK_SECONDS, source, target),
        ):
            yield from check_server(source, "source")
            yield from check_server(target, "target")
            if target.info.server_version // 10000 < source.info.server_version // 10000:
                yield blocker("target.version", "older than the source", "use the source's version or a newer one")
            yield check_text(source, target)
            yield from check_source_tables(source, tables)
            yield check_extensions(source, target)
            yield from check_target_tables(source, target, tables, loaded=replication.load.state().ran_before)
    except DatabaseUnreachableError as error:
        yield blocker("database.reachable", str(error), "check the security groups, the secret and the instance")
    except psycopg.Error as error:
        yield blocker("database.checks", " ".join(str(error).split()), "correct it and run again")


def _endpoints(run: Run) -> Iterator[Finding]:
    replication = run.deployment.replication()
    tasks: tuple[ReplicationTask, ...] = (replication.load, replication.forward, replication.reverse)
    endpoints = {arn: task for task in tasks for arn in task.endpoints()}
    tested = {arn: task.test_endpoint(arn) for arn, task in endpoints.items()}
    failures = {arn: failure for arn, failure in tested.items() if failure}
    for arn, failure in failures.items():
        yield blocker(
            "replication.endpoints",
            f"DMS cannot connect by {arn}: {failure}",
            "check the endpoint's secret, its role and the security groups",
        )
    if not failures:
        yield ok("replication.endpoints", f"DMS connects by all {len(tested)}")


def _traffic(run: Run) -> Iterator[Finding]:
    traffic = run.deployment.traffic()
    recorded, kept = traffic.recorded(), traffic.kept()
    if recorded != kept:
        yield warning(
            "traffic.weights",
            f"Route 53 has {recorded}, SSM has {kept} (source/target)",
            "run `pm shift` with the share of the target that you want",
        )
    elif recorded.target:
        yield warning(
            "traffic.weights",
            f"{recorded.target_percent:g} % of the traffic goes to the target already",
            "`pm shift 0` sends it back; writes go to the one writer in any case",
        )
    else:
        yield ok("traffic.weights", f"{recorded} (source/target)")


def _services(run: Run) -> Iterator[Finding]:
    for environment in ENVIRONMENTS:
        health = run.deployment.service(environment).health()
        if health.good:
            yield ok(f"service.{environment}", str(health))
        else:
            yield blocker(f"service.{environment}", str(health), "see the service's events and its log")


def _alarms(run: Run) -> Iterator[Finding]:
    names = run.deployment.alarm_names()
    found = {alarm.name: alarm for alarm in run.deployment.cloudwatch().alarms(names)}
    missing = [name for name in names if name not in found]
    if missing:
        yield blocker(
            "alarms.there", f"no alarm {', '.join(missing)}", "deploy the observability stacks: nobody would be warned"
        )
    else:
        yield ok("alarms.there", f"{len(found)} alarms watch the lag and whatever makes a move unsafe")
