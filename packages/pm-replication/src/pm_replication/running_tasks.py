"""RunningTasks: lets CloudFormation change and delete replication tasks that run."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import aws_dms as dms
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from pm_core import resource_name
from pm_core.cdk import ResourceFunction
from pm_replication.functions import FUNCTIONS

_TIMEOUT_SECONDS = 840


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTasksProps:
    """What has to stand still, and when.

    Attributes:
        environment: The environment that hosts the replication instance.
        suffix: The deployment's environmentSuffix.
        instance_arn: The replication instance; another one would replace the tasks, and is refused.
        tasks: The tasks by identifier.
        endpoints: Their endpoints.
        definition: What tasks and endpoints are made from; when it changes, running tasks are paused for the update.
        key: Encrypts the function's log.
        log_retention_days: Retention of the function's log.
    """

    environment: str
    suffix: str
    instance_arn: str
    tasks: Mapping[str, dms.CfnReplicationTask]
    endpoints: Sequence[dms.CfnEndpoint]
    definition: str
    key: kms.IKey
    log_retention_days: int


class RunningTasks(Construct):
    """Stops running tasks before they or their endpoints change, resumes them after, and stops them before deletion.

    They are resumed, too, when the update fails and CloudFormation has rolled it back. One custom resource comes before
    tasks and endpoints, one after them; see functions/running_tasks.py.

    Attributes:
        provider: The function behind both; it knows no task, and exists before any.

    Source: AWS DMS API, ModifyReplicationTask and ModifyEndpoint: "the task must be stopped".
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: RunningTasksProps) -> None:
        super().__init__(scope, construct_id)
        self.provider = provider = ResourceFunction(
            self,
            "Provider",
            environment=props.environment,
            suffix=props.suffix,
            qualifier="running-tasks",
            code=FUNCTIONS,
            module="running_tasks",
            description="Pauses replication tasks for a stack update and stops them before a deletion",
            key=props.key,
            log_retention_days=props.log_retention_days,
            timeout_seconds=_TIMEOUT_SECONDS,
            unnamed="dms:DescribeReplicationTasks takes no resource: DMS knows no ARN for it.",
        )
        provider.allow(
            # DMS has no resource-level permission for this action.
            iam.PolicyStatement(sid="Look", actions=["dms:DescribeReplicationTasks"], resources=["*"]),
        )
        common = {"Tasks": list(props.tasks), "Definition": hashlib.sha256(props.definition.encode()).hexdigest()[:16]}
        before = provider.resource(
            self,
            "Before",
            kind="Custom::PausedTasks",
            properties={
                **common,
                "Side": "before",
                "InstanceArn": props.instance_arn,
                "MigrationTypes": {name: task.migration_type for name, task in props.tasks.items()},
            },
        )
        after = provider.resource(self, "After", kind="Custom::ResumedTasks", properties={**common, "Side": "after"})
        for changed in (*props.endpoints, *props.tasks.values()):
            changed.node.add_dependency(before)
        after.node.add_dependency(*props.tasks.values(), self._permission(provider, props))

    def _permission(self, provider: ResourceFunction, props: RunningTasksProps) -> iam.ManagedPolicy:
        """A policy of its own, after the tasks, for it names them; before they exist there is nothing to stop."""
        return iam.ManagedPolicy(
            self,
            "MayStopAndResume",
            managed_policy_name=resource_name("policy", props.environment, props.suffix, qualifier="stop-tasks"),
            description="Pauses, resumes and stops the replication tasks",
            roles=[provider.role],
            statements=[
                iam.PolicyStatement(
                    actions=[
                        "dms:AddTagsToResource",
                        "dms:ListTagsForResource",
                        "dms:RemoveTagsFromResource",
                        "dms:StartReplicationTask",
                        "dms:StopReplicationTask",
                    ],
                    resources=[task.ref for task in props.tasks.values()],
                )
            ],
        )
