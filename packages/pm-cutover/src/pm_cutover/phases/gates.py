"""What must be quiet before something is moved."""

from pm_cutover.aws.alarms import Alarm
from pm_cutover.errors import RefusedError
from pm_cutover.phases.run import Run


def firing_alarms(run: Run) -> tuple[Alarm, ...]:
    """Lag alarms that fire now and watch a task that runs now, and the alarms that stand for all others.

    A lag alarm counts missing data as a breach, so that of a task which was stopped on purpose fires rightly and says
    nothing about the move.

    Raises:
        RefusedError: One does not exist, or a task that runs has none: it would never fire.
    """
    replication = run.deployment.replication()
    tasks = {"load": replication.load, "forward": replication.forward, "reverse": replication.reverse}
    running = {task.arn.rpartition(":")[2]: name for name, task in tasks.items() if task.state().running}
    names = run.deployment.alarm_names()
    alarms = run.deployment.cloudwatch().alarms(names)
    if missing := sorted(set(names) - {alarm.name for alarm in alarms}):
        raise RefusedError(
            f"no alarm {', '.join(missing)}: deploy the observability stacks, nothing is moved unwatched"
        )
    watched = frozenset[str]().union(*(alarm.tasks for alarm in alarms))
    if unwatched := sorted(name for task, name in running.items() if task not in watched):
        raise RefusedError(
            f"no lag alarm watches the task {', '.join(unwatched)}, which runs (the replication stack was made anew?): "
            "deploy the target's observability stack again, nothing is moved unwatched"
        )
    return tuple(alarm for alarm in alarms if alarm.firing and (not alarm.tasks or alarm.tasks & running.keys()))
