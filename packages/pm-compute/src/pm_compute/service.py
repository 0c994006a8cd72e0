"""The payment service of one environment: Fargate tasks behind a load balancer."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from pm_compute.errors import PropsError
from pm_compute.image import ExistingImage, ExistingImageProps
from pm_compute.load_balancer import CONTAINER_PORT, ServiceLoadBalancer, ServiceLoadBalancerProps
from pm_compute.quiet_cluster import QuietCluster
from pm_compute.roles import execution_role, task_role
from pm_core import ComputeContract, resource_name
from pm_core.cdk import CustomerKey, acknowledge, encrypted_log_group
from pm_core.names import ResourceType

# A task that is told to stop has this long to finish its requests before it is killed.
STOP_TIMEOUT_SECONDS = 30
# Any unprivileged user: the image's files are readable by everybody.
USER = "10001:10001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A database that may hold the open writer.

    Attributes:
        name: source or target.
        secret_arn: Secret of the user ``pm_app`` there.
        key_arn: KMS key that encrypts the secret.
    """

    name: str
    secret_arn: str
    key_arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentServiceProps:
    """What the payment service needs to know.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        vpc: Network with public and private subnets.
        service_security_group: Group of the tasks; admits the load balancer on ``CONTAINER_PORT``.
        load_balancer_security_group: Group of the load balancer; admits clients.
        repository_name: ECR repository that the image is pulled from.
        repository_arn: Its ARN.
        repository_uri: What the image's name begins with.
        image_tag: The image's tag.
        certificate_arn: ACM certificate of the payment service's name.
        candidates: The databases in the order in which the service asks them, source first.
        ssl_mode: How the service connects to them, as libpq calls it.
        desired_count: Tasks at the least, at least 1.
        max_count: Tasks at the most.
        cpu_architecture: X86_64 or ARM64, of the image.
        cpu: CPU units of a task. Default 512.
        memory_mib: Memory of a task. Default 1024.
        deregistration_delay_seconds: How long the load balancer drains a stopping task, shorter than the 30 s after
            which the task is killed.
        log_retention_days: Retention of the log group.

    Raises:
        PropsError: Counts are out of order, or a task would be killed before it is drained.
    """

    environment: str
    suffix: str
    vpc: ec2.IVpc
    service_security_group: ec2.ISecurityGroup
    load_balancer_security_group: ec2.ISecurityGroup
    repository_name: str
    repository_arn: str
    repository_uri: str
    image_tag: str
    certificate_arn: str
    candidates: tuple[Candidate, ...]
    ssl_mode: str
    desired_count: int
    max_count: int
    cpu_architecture: str = "X86_64"
    cpu: int = 512
    memory_mib: int = 1024
    deregistration_delay_seconds: int
    log_retention_days: int

    def __post_init__(self) -> None:
        if not 1 <= self.desired_count <= self.max_count:
            raise PropsError(f"desired_count {self.desired_count} must lie between 1 and max_count {self.max_count}")
        if self.deregistration_delay_seconds >= STOP_TIMEOUT_SECONDS:
            raise PropsError(
                f"deregistration_delay_seconds {self.deregistration_delay_seconds} must be less than the "
                f"{STOP_TIMEOUT_SECONDS} s after which a stopping task is killed"
            )


class PaymentService(Construct):
    """An ECS service on private subnets, its autoscaling, and an internet-facing load balancer.

    No secret is in the template: the task role may read the candidates' secrets, and the service does so itself, so
    that a rotated password needs no deployment.

    Attributes:
        cluster: The cluster.
        service: The service.
        key: Encrypts the logs.
        load_balancer: The load balancer.
        target_group: The service's targets.
        task_role: What the service may do.
        contract: What the compute tier publishes.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: PaymentServiceProps) -> None:
        super().__init__(scope, construct_id)
        self._props = props
        self._policies: list[iam.ManagedPolicy] = []
        self.key = CustomerKey(
            self,
            "Key",
            environment=props.environment,
            suffix=props.suffix,
            qualifier="payments",
            description="Logs of the payment service",
        )
        # Container Insights would make the group itself, unencrypted and for ever.
        insights = encrypted_log_group(
            self,
            "InsightLogs",
            name=f"/aws/ecs/containerinsights/{self._name('cluster')}/performance",
            key=self.key,
            retention_days=props.log_retention_days,
        )
        self.cluster = ecs.Cluster(
            self,
            "Cluster",
            cluster_name=self._name("cluster"),
            vpc=props.vpc,
            container_insights_v2=ecs.ContainerInsights.ENABLED,
        )
        self.cluster.node.add_dependency(insights)
        self.task_role = self._task_role()
        edge = ServiceLoadBalancer(
            self,
            "Edge",
            props=ServiceLoadBalancerProps(
                environment=props.environment,
                suffix=props.suffix,
                vpc=props.vpc,
                security_group=props.load_balancer_security_group,
                certificate_arn=props.certificate_arn,
                key=self.key,
                deregistration_delay_seconds=props.deregistration_delay_seconds,
                log_retention_days=props.log_retention_days,
            ),
        )
        self.target_group, self.load_balancer = edge.target_group, edge.load_balancer
        self.service = self._service(self._task_definition())
        self.service.node.add_dependency(edge.listener, self._image(), *self._policies)
        self._quiet_cluster().resource.node.add_dependency(self.service)
        self._autoscaling()
        self.contract = ComputeContract(
            load_balancer_dns_name=self.load_balancer.load_balancer_dns_name,
            load_balancer_zone_id=self.load_balancer.load_balancer_canonical_hosted_zone_id,
            load_balancer_full_name=self.load_balancer.load_balancer_full_name,
            cluster_name=self.cluster.cluster_name,
            service_name=self.service.service_name,
            target_group_arn=self.target_group.target_group_arn,
        )

    def _name(self, resource_type: ResourceType, qualifier: str = "") -> str:
        return resource_name(resource_type, self._props.environment, self._props.suffix, qualifier=qualifier)

    def _task_role(self) -> iam.Role:
        props = self._props
        made = task_role(
            self,
            "TaskRole",
            environment=props.environment,
            suffix=props.suffix,
            qualifier="payments-task",
            description="The payment service reads its databases' secrets",
            statements=[
                iam.PolicyStatement(
                    sid="ReadSecrets",
                    actions=["secretsmanager:GetSecretValue"],
                    resources=[candidate.secret_arn for candidate in props.candidates],
                ),
                iam.PolicyStatement(
                    sid="DecryptSecrets",
                    actions=["kms:Decrypt"],
                    resources=[candidate.key_arn for candidate in props.candidates],
                ),
            ],
        )
        self._policies.append(made.policy)
        return made.role

    def _log_group(self) -> logs.LogGroup:
        return encrypted_log_group(
            self,
            "Logs",
            name=self._name("log-group", "payments"),
            key=self.key,
            retention_days=self._props.log_retention_days,
        )

    def _execution_role(self, log_group: logs.ILogGroup) -> iam.IRole:
        props = self._props
        made = execution_role(
            self,
            environment=props.environment,
            suffix=props.suffix,
            program="payments",
            # Another text would replace the policy, which has a name: CloudFormation cannot do that.
            description="ECS pulls the payment service's image and writes its logs",
            repository_arn=props.repository_arn,
            log_group=log_group,
        )
        self._policies.append(made.policy)
        # CDK adds nothing: a policy of its own could come after the first task was started.
        return made.role.without_policy_updates()

    def _task_definition(self) -> ecs.FargateTaskDefinition:
        props = self._props
        log_group = self._log_group()
        definition = ecs.FargateTaskDefinition(
            self,
            "TaskDefinition",
            family=self._name("task-definition", "payments"),
            cpu=props.cpu,
            memory_limit_mib=props.memory_mib,
            task_role=self.task_role,
            execution_role=self._execution_role(log_group),
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.of(props.cpu_architecture),
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
        )
        definition.add_container(
            "Payments",
            container_name="payments",
            image=ecs.ContainerImage.from_registry(f"{props.repository_uri}:{props.image_tag}"),
            essential=True,
            readonly_root_filesystem=True,
            user=USER,
            stop_timeout=cdk.Duration.seconds(STOP_TIMEOUT_SECONDS),
            port_mappings=[ecs.PortMapping(container_port=CONTAINER_PORT, protocol=ecs.Protocol.TCP)],
            environment={
                "PM_ENVIRONMENT": props.environment,
                "PM_CANDIDATES": ",".join(f"{candidate.name}={candidate.secret_arn}" for candidate in props.candidates),
                "PM_SSL_MODE": props.ssl_mode,
                "PORT": str(CONTAINER_PORT),
            },
            logging=ecs.LogDrivers.aws_logs(log_group=log_group, stream_prefix="payments"),
        )
        acknowledge(
            definition,
            "AwsSolutions-ECS2",
            reason="The variables say which environment this is and, by ARN, where the secrets are; the secrets "
            "themselves are read by the service, so that a rotation needs no deployment.",
        )
        return definition

    def _image(self) -> ExistingImage:
        props = self._props
        return ExistingImage(
            self,
            "Image",
            props=ExistingImageProps(
                environment=props.environment,
                suffix=props.suffix,
                repository_name=props.repository_name,
                repository_arn=props.repository_arn,
                repository_uri=props.repository_uri,
                tag=props.image_tag,
                key=self.key,
                log_retention_days=props.log_retention_days,
            ),
        )

    def _quiet_cluster(self) -> QuietCluster:
        props = self._props
        return QuietCluster(
            self,
            "QuietCluster",
            cluster=self.cluster,
            environment=props.environment,
            suffix=props.suffix,
            key=self.key,
            log_retention_days=props.log_retention_days,
        )

    def _service(self, definition: ecs.FargateTaskDefinition) -> ecs.FargateService:
        props = self._props
        service = ecs.FargateService(
            self,
            "Service",
            service_name=self._name("service", "payments"),
            cluster=self.cluster,
            task_definition=definition,
            # No desired count: every update would set the service back to it, in the middle of a shift. A new service
            # begins with one task, and autoscaling takes it to the minimum at once.
            min_healthy_percent=100,
            max_healthy_percent=200,
            circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
            assign_public_ip=False,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            security_groups=[props.service_security_group],
            health_check_grace_period=cdk.Duration.seconds(60),
            enable_execute_command=False,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )
        service.attach_to_application_target_group(self.target_group)
        return service

    def _autoscaling(self) -> None:
        props = self._props
        # Registering it moves a count that lies outside the bounds into them.
        # Source: Application Auto Scaling user guide, "Application Auto Scaling concepts".
        scaling = self.service.auto_scale_task_count(min_capacity=props.desired_count, max_capacity=props.max_count)
        scaling.scale_on_cpu_utilization(
            "Cpu", policy_name=self._name("policy", "payments-cpu"), target_utilization_percent=60
        )
        scaling.scale_on_memory_utilization(
            "Memory", policy_name=self._name("policy", "payments-memory"), target_utilization_percent=70
        )
