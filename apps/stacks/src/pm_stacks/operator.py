"""The task that runs `pm` inside the target's network as a stack."""

import json

import aws_cdk as cdk

from pm_compute import (
    OperatedDeployment,
    OperatedEnvironment,
    OperatedReplication,
    OperatedTraffic,
    OperatorTask,
    OperatorTaskProps,
)
from pm_core import (
    ComputeContract,
    DataContract,
    Environment,
    NetworkContract,
    OperatorContract,
    ReplicationContract,
    Settings,
    TargetRegistryContract,
    TrafficContract,
    ZoneContract,
)
from pm_stacks.base import TierStack

# What the outputs run: it changes nothing.
_VERB = "status"


class OperatorStack(TierStack):
    """What `pm --remote` starts; the last stack to deploy, for its role names resources of nearly all others.

    Its image may be pushed later.
    """

    def __init__(self, *, app: cdk.App, settings: Settings) -> None:
        super().__init__(app=app, tier="operator", environment="target", settings=settings)
        network = self.read(NetworkContract)
        registry = self.read(TargetRegistryContract)
        task = OperatorTask(
            self,
            "Operator",
            props=OperatorTaskProps(
                environment=self.environment_name,
                deployment=self._deployment(),
                cluster_name=self.read(ComputeContract).cluster_name,
                subnet_ids=network.private_subnet_ids,
                security_group_id=network.operator_security_group_id,
                repository_name=registry.operator_repository_name,
                repository_arn=self.format_arn(
                    service="ecr", resource="repository", resource_name=registry.operator_repository_name
                ),
                repository_uri=registry.operator_repository_uri,
                image_tag=settings.operator_image_tag,
                cpu_architecture=settings.cpu_architecture,
                log_retention_days=settings.log_retention_days,
            ),
        )
        self.publish(task.contract)
        self._say_how_to_run(task.contract)

    def _deployment(self) -> OperatedDeployment:
        target, zone = self.read(DataContract), self.read(ZoneContract, environment="source")
        replication = self.read(ReplicationContract)
        return OperatedDeployment(
            suffix=self.settings.environment_suffix,
            replica_region=self.settings.replica_region,
            source=self._environment("source"),
            target=self._environment("target"),
            evidence_bucket=target.log_bucket,
            replication=OperatedReplication(
                instance_arn=replication.instance_arn,
                task_arns=(replication.load_task_arn, replication.forward_task_arn, replication.reverse_task_arn),
                endpoint_arns=(
                    replication.source_loader_endpoint_arn,
                    replication.source_reader_endpoint_arn,
                    replication.source_writer_endpoint_arn,
                    replication.target_reader_endpoint_arn,
                    replication.target_writer_endpoint_arn,
                ),
            ),
            traffic=OperatedTraffic(
                hosted_zone_id=zone.hosted_zone_id,
                record_name=zone.record_name,
                source_health_check_id=self.read(TrafficContract, environment="source").health_check_id,
            ),
        )

    def _environment(self, name: Environment) -> OperatedEnvironment:
        data, compute = self.read(DataContract, environment=name), self.read(ComputeContract, environment=name)
        return OperatedEnvironment(
            secret_arn=data.cutover_secret_arn,
            key_arn=data.key_arn,
            cluster_name=compute.cluster_name,
            service_name=compute.service_name,
        )

    def _say_how_to_run(self, operator: OperatorContract) -> None:
        overrides = {"containerOverrides": [{"name": operator.container_name, "command": [_VERB]}]}
        network = {
            "awsvpcConfiguration": {
                "subnets": list(operator.subnet_ids),
                "securityGroups": [operator.security_group_id],
                "assignPublicIp": "DISABLED",
            }
        }
        cdk.CfnOutput(
            self,
            "RemoteCommand",
            value=f"pm --remote {_VERB} --suffix {self.settings.environment_suffix}",
            description="Runs a verb of `pm` inside the network and shows its output; any other verb works, too.",
        )
        cdk.CfnOutput(
            self,
            "RunTaskCommand",
            value=f"aws ecs run-task --region {self.settings.region} --cluster {operator.cluster_name}"
            " --launch-type FARGATE"
            f" --task-definition {operator.task_definition_arn}"
            f" --network-configuration '{json.dumps(network, separators=(',', ':'))}'"
            f" --overrides '{json.dumps(overrides, separators=(',', ':'))}'"
            " --query 'tasks[0].taskArn'",
            description="The same without `pm` on this machine; the exit code is the container's.",
        )
        cdk.CfnOutput(
            self,
            "LogCommand",
            value=f"aws logs tail {operator.log_group_name} --region {self.settings.region} --follow",
            description="What the tasks say; `out:` is the answer, `err:` what happened on the way.",
        )
