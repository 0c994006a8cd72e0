"""What must be quiet before something is moved."""

from pm_cutover.aws.alarms import Alarm
from pm_cutover.phases.run import Run


def firing_alarms(run: Run) -> tuple[Alarm, ...]:
    """Lag alarms that fire now and watch a task that runs now, and the alarms that stand for all others.

    A lag alarm counts missing data as a breach, so that of a task which was stopped on purpose fires rightly and says
    nothing about the move.
    """
    replication = run.deployment.replication()
    running = {
        task.arn.rpartition(":")[2]
        for task in (replication.load, replication.forward, replication.reverse)
        if task.state().running
    }
    alarms = run.deployment.cloudwatch().alarms(
        [*run.deployment.lag_alarm_names(), *run.deployment.unsafe_alarm_names()]
    )
    return tuple(alarm for alarm in alarms if alarm.firing and (not alarm.tasks or alarm.tasks & running))
