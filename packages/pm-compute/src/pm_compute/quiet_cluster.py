"""QuietCluster: the log group of Container Insights goes with its stack, and stays gone."""

from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from pm_compute.functions import FUNCTIONS
from pm_core.cdk import ResourceFunction

_TIMEOUT_SECONDS = 120


class QuietCluster(Construct):
    """Switches Container Insights of a cluster off when its stack is deleted, before anything else of it goes.

    ECS writes what it measured about a minute late. With Container Insights on, the last of it would come after the log
    group was deleted and make that anew, without key and retention, for ever: the next creation of the stack would find
    it there and fail. Depends on the service, whose tasks drain while what was measured until now is written.

    Attributes:
        resource: The custom resource.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        cluster: ecs.ICluster,
        environment: str,
        suffix: str,
        key: kms.IKey,
        log_retention_days: int,
    ) -> None:
        super().__init__(scope, construct_id)
        provider = ResourceFunction(
            self,
            "Provider",
            environment=environment,
            suffix=suffix,
            qualifier="quiet-cluster",
            code=FUNCTIONS,
            module="quiet_cluster",
            description="Switches Container Insights off before the cluster is deleted",
            key=key,
            log_retention_days=log_retention_days,
            timeout_seconds=_TIMEOUT_SECONDS,
            asks_for_stack=True,
        )
        provider.allow(
            iam.PolicyStatement(
                sid="SwitchOff", actions=["ecs:UpdateClusterSettings"], resources=[cluster.cluster_arn]
            ),
        )
        self.resource = provider.resource(
            self,
            "Resource",
            kind="Custom::QuietCluster",
            properties={"Cluster": cluster.cluster_name},
        )
