from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_rehearsal.cloud.ecs.decisions import (
    Complete,
    GiveUp,
    Phase,
    ServiceView,
    Start,
    Stop,
    TaskView,
    decide,
    failure_limit,
)

SERVICE = ServiceView(
    desired=2,
    deployment="new",
    in_progress=True,
    gave_up=False,
    failures=0,
    failure_limit=3,
    can_roll_back=False,
    may_start=True,
    minimum_percent=100,
    maximum_percent=200,
)


def task(arn, phase=Phase.HEALTHY, deployment="new"):
    return TaskView(arn=arn, deployment=deployment, phase=phase)


def stopped(decisions):
    return [decision.arn for decision in decisions if isinstance(decision, Stop)]


def test_a_new_service_starts_its_tasks():
    assert decide(SERVICE, []) == [Start(count=2)]


def test_a_lost_task_is_replaced_and_starting_ones_count():
    assert decide(SERVICE, [task("1"), task("2", Phase.STOPPING)]) == [Start(count=1)]
    assert decide(SERVICE, [task("1"), task("2", Phase.STARTING)]) == []


def test_a_deployment_starts_new_tasks_before_it_stops_old_ones():
    old = [task("1", deployment="old"), task("2", deployment="old")]
    assert decide(SERVICE, old) == [Start(count=2)]
    assert decide(SERVICE, [*old, task("3", Phase.STARTING), task("4", Phase.STARTING)]) == []
    assert stopped(decide(SERVICE, [*old, task("3"), task("4", Phase.STARTING)])) == ["1"]
    assert stopped(decide(SERVICE, [*old, task("3"), task("4")])) == ["1", "2"]


def test_a_deployment_is_complete_when_the_old_tasks_are_gone():
    new = [task("3"), task("4")]
    assert decide(SERVICE, [*new, task("1", Phase.STOPPING, "old")]) == []
    assert decide(SERVICE, new) == [Complete()]


def test_the_maximum_holds():
    service = replace(SERVICE, maximum_percent=150)
    old = [task("1", deployment="old"), task("2", deployment="old")]
    assert decide(service, old) == [Start(count=1)]


def test_a_task_that_its_load_balancer_gave_up_is_replaced_and_counts_as_failed():
    decisions = decide(SERVICE, [task("1"), task("2", Phase.UNHEALTHY)])
    assert decisions == [Stop(arn="2", reason="Task failed ELB health checks", failed=True), Start(count=1)]


def test_scaling_in_prefers_tasks_that_do_not_serve_yet():
    service = replace(SERVICE, desired=1, in_progress=False)
    assert stopped(decide(service, [task("1"), task("2", Phase.STARTING)])) == ["2"]


def test_desired_zero_stops_everything():
    service = replace(SERVICE, desired=0)
    assert stopped(decide(service, [task("1"), task("2", deployment="old")])) == ["1", "2"]
    assert decide(service, []) == [Complete()]


def test_too_many_failures_end_the_deployment():
    service = replace(SERVICE, failures=3)
    assert decide(service, []) == [GiveUp(roll_back=False)]
    assert decide(replace(service, can_roll_back=True), []) == [GiveUp(roll_back=True)]
    assert decide(replace(service, in_progress=False, gave_up=True), []) == []


def test_nothing_is_started_while_it_waits_after_a_failure():
    assert decide(replace(SERVICE, may_start=False), []) == []


@pytest.mark.parametrize(
    ("desired", "kind", "value", "limit"),
    [
        (2, "BOUNDED_PERCENT", 50, 3),
        (20, "BOUNDED_PERCENT", 50, 10),
        (1000, "BOUNDED_PERCENT", 50, 200),
        (2, "UNBOUNDED_PERCENT", 50, 1),
        (9, "COUNT", 2, 2),
    ],
)
def test_circuit_breaker_limit(desired, kind, value, limit):
    assert failure_limit(desired, kind=kind, value=value) == limit


@given(
    desired=st.integers(0, 6),
    minimum=st.sampled_from([0, 50, 100]),
    maximum=st.sampled_from([100, 150, 200]),
    phases=st.lists(st.tuples(st.sampled_from(list(Phase)), st.sampled_from(["new", "old"])), max_size=10),
)
def test_no_decision_takes_healthy_tasks_below_the_minimum_or_starts_more_than_the_maximum(
    desired, minimum, maximum, phases
):
    service = replace(SERVICE, desired=desired, minimum_percent=minimum, maximum_percent=maximum)
    tasks = [task(str(number), phase, deployment) for number, (phase, deployment) in enumerate(phases)]
    decisions = decide(service, tasks)
    stopping = set(stopped(decisions))
    healthy_before = sum(item.phase is Phase.HEALTHY for item in tasks)
    healthy_after = sum(item.phase is Phase.HEALTHY and item.arn not in stopping for item in tasks)
    assert healthy_after >= min(healthy_before, -(-desired * minimum // 100))
    active = sum(item.phase in (Phase.STARTING, Phase.HEALTHY) for item in tasks)
    started = sum(decision.count for decision in decisions if isinstance(decision, Start))
    assert started == 0 or active + started <= max(1, desired * maximum // 100)
    assert stopping <= {item.arn for item in tasks if item.phase is not Phase.STOPPING}
