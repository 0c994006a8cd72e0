"""OperatorTask: `pm` as a task inside the network, for `pm --remote`."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from pm_compute.errors import PropsError
from pm_compute.operator_permissions import OperatedDeployment, acknowledge_wildcards, statements
from pm_compute.roles import TaskRole, execution_role, task_role
from pm_compute.service import USER
from pm_compute.stopped_tasks import StoppedTasks, StoppedTasksProps
from pm_core import OperatorContract
from pm_core.cdk import CustomerKey, acknowledge, encrypted_log_group
from pm_core.names import ResourceType, resource_name

CONTAINER_NAME = "pm"
LOG_STREAM_PREFIX = "operator"
# The most that Fargate grants: a verb that is told to stop ends as on Ctrl-C, and puts its evidence into the bucket.
STOP_TIMEOUT_SECONDS = 120
# The image's working directory and a volume of it, so that whoever the container runs as may write there.
SCRATCH_DIRECTORY = "/tmp"  # noqa: S108 - of a container that runs one program and goes with it
_SCRATCH = "scratch"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTaskProps:
    """What an operator task needs to know.

    Attributes:
        environment: Where it runs.
        deployment: What it works on; decides what its role may do.
        cluster_name: ECS cluster that it runs in.
        subnet_ids: Private subnets with a way to the AWS APIs, at least one.
        security_group_id: Group that both databases admit.
        repository_name: ECR repository that the image is pulled from. The image may come later: nothing is started
            by this construct.
        repository_arn: Its ARN.
        repository_uri: What the image's name begins with.
        image_tag: The image's tag.
        cpu_architecture: X86_64 or ARM64, of the image.
        cpu: CPU units. Default 1024: while the writer moves, `pm` is what the payments wait for.
        memory_mib: Memory. Default 2048.
        log_retention_days: Retention of the log group.

    Raises:
        PropsError: There is no subnet.
    """

    environment: str
    deployment: OperatedDeployment
    cluster_name: str
    subnet_ids: tuple[str, ...]
    security_group_id: str
    repository_name: str
    repository_arn: str
    repository_uri: str
    image_tag: str
    cpu_architecture: str = "X86_64"
    cpu: int = 1024
    memory_mib: int = 2048
    log_retention_days: int

    def __post_init__(self) -> None:
        if not self.subnet_ids:
            raise PropsError("subnet_ids is empty: a task runs in at least one subnet")


class OperatorTask(Construct):
    """A task definition that runs one verb of `pm`, with the permissions of the engine and no others.

    Nothing is started here, and no image has to exist: `pm --remote` looks for it before it starts a task.

    Attributes:
        key: Encrypts the log.
        task_role: What `pm` may do.
        task_definition: The task.
        contract: What the operator tier publishes.

    Source: AWS::ECS::TaskDefinition.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: OperatorTaskProps) -> None:
        super().__init__(scope, construct_id)
        self._props = props
        self.key = CustomerKey(
            self,
            "Key",
            environment=props.environment,
            suffix=props.deployment.suffix,
            qualifier="operator",
            description="Logs of the tasks that run pm",
        )
        log_group = encrypted_log_group(
            self,
            "Logs",
            name=self._name("log-group"),
            key=self.key,
            retention_days=props.log_retention_days,
        )
        may = task_role(
            self,
            "TaskRole",
            environment=props.environment,
            suffix=props.deployment.suffix,
            qualifier="operator-task",
            description="pm runs the migration",
            statements=statements(self, props.deployment),
        )
        acknowledge_wildcards(may.policy, props.deployment)
        execution = execution_role(
            self,
            environment=props.environment,
            suffix=props.deployment.suffix,
            program="operator",
            description="ECS pulls the image of pm and writes its logs",
            repository_arn=props.repository_arn,
            log_group=log_group,
        )
        self.task_role: iam.IRole = may.role
        self.task_definition = self._task_definition(may, execution, log_group)
        self._stopped_tasks().resource.node.add_dependency(
            # Deleted before these, so that a task that ends can still read, write and log.
            self.task_definition,
            log_group,
            may.role,
            may.policy,
            execution.role,
            execution.policy,
        )
        self.contract = OperatorContract(
            cluster_name=props.cluster_name,
            task_definition_arn=self.task_definition.task_definition_arn,
            container_name=CONTAINER_NAME,
            subnet_ids=props.subnet_ids,
            security_group_id=props.security_group_id,
            log_group_name=log_group.log_group_name,
            log_stream_prefix=LOG_STREAM_PREFIX,
            repository_name=props.repository_name,
            repository_uri=props.repository_uri,
            image_tag=props.image_tag,
        )

    def _name(self, resource_type: ResourceType) -> str:
        return resource_name(
            resource_type, self._props.environment, self._props.deployment.suffix, qualifier="operator"
        )

    def _task_definition(
        self, may: TaskRole, execution: TaskRole, log_group: logs.ILogGroup
    ) -> ecs.FargateTaskDefinition:
        props = self._props
        definition = ecs.FargateTaskDefinition(
            self,
            "TaskDefinition",
            family=self._name("task-definition"),
            cpu=props.cpu,
            memory_limit_mib=props.memory_mib,
            # CDK adds nothing to either: all that they may do is in their one policy.
            task_role=may.role.without_policy_updates(),
            execution_role=execution.role.without_policy_updates(),
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.of(props.cpu_architecture),
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
            volumes=[ecs.Volume(name=_SCRATCH)],
        )
        container = definition.add_container(
            "Pm",
            container_name=CONTAINER_NAME,
            image=ecs.ContainerImage.from_registry(f"{props.repository_uri}:{props.image_tag}"),
            essential=True,
            readonly_root_filesystem=True,
            user=USER,
            # Process 1 is an init: as process 1, a `pm` that has only begun to start would not hear SIGTERM.
            linux_parameters=ecs.LinuxParameters(self, "LinuxParameters", init_process_enabled=True),
            stop_timeout=cdk.Duration.seconds(STOP_TIMEOUT_SECONDS),
            environment={
                "PM_SUFFIX": props.deployment.suffix,
                "PM_OUTPUT": "log",
                "AWS_REGION": cdk.Stack.of(self).region,
            },
            logging=ecs.LogDrivers.aws_logs(
                log_group=log_group,
                stream_prefix=LOG_STREAM_PREFIX,
                # Were CloudWatch Logs away, a verb would otherwise stand still in the middle of what it does.
                mode=ecs.AwsLogDriverMode.NON_BLOCKING,
                max_buffer_size=cdk.Size.mebibytes(25),
            ),
        )
        # Evidence, and what pg_dump writes; gone with the task.
        container.add_mount_points(
            ecs.MountPoint(container_path=SCRATCH_DIRECTORY, source_volume=_SCRATCH, read_only=False)
        )
        acknowledge(
            definition,
            "AwsSolutions-ECS2",
            reason="The variables say which deployment and region this is and that output goes to a log; pm reads the "
            "secrets itself, by the ARNs that the stacks publish.",
        )
        return definition

    def _stopped_tasks(self) -> StoppedTasks:
        props = self._props
        return StoppedTasks(
            self,
            "StoppedTasks",
            props=StoppedTasksProps(
                environment=props.environment,
                suffix=props.deployment.suffix,
                cluster_name=props.cluster_name,
                family=self._name("task-definition"),
                key=self.key,
                log_retention_days=props.log_retention_days,
            ),
        )
