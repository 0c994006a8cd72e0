"""The payment service of one environment: Fargate tasks behind a load balancer."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from pm_compute.errors import PropsError
from pm_core import ComputeContract, resource_name
from pm_core.names import ResourceType

CONTAINER_PORT = 8080
# A task that is told to stop has this long to finish its requests before it is killed.
STOP_TIMEOUT_SECONDS = 30
# Below the service's keep-alive timeout, or the load balancer answers 502 at random.
IDLE_TIMEOUT_SECONDS = 30
# Clients must look the name up again soon after a shift; the default would hold them for an hour.
CLIENT_KEEP_ALIVE_SECONDS = 60
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
        repository_arn: ECR repository that the image is pulled from.
        image: The image's name with its tag.
        candidates: The databases in the order in which the service asks them, source first.
        ssl_mode: How the service connects to them, as libpq calls it.
        desired_count: Tasks at the least, at least 1.
        max_count: Tasks at the most.
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
    repository_arn: str
    image: str
    candidates: tuple[Candidate, ...]
    ssl_mode: str
    desired_count: int
    max_count: int
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
        load_balancer: The load balancer.
        target_group: The service's targets.
        task_role: What the service may do.
        contract: What the compute tier publishes.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: PaymentServiceProps) -> None:
        super().__init__(scope, construct_id)
        self._props = props
        self.cluster = ecs.Cluster(
            self,
            "Cluster",
            cluster_name=self._name("cluster"),
            vpc=props.vpc,
            container_insights_v2=ecs.ContainerInsights.ENABLED,
        )
        self.task_role = self._task_role()
        self.target_group, self.load_balancer = self._load_balancer()
        self.service = self._service(self._task_definition())
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
        candidates = self._props.candidates
        return iam.Role(
            self,
            "TaskRole",
            role_name=self._name("role", "payments-task"),
            description="The payment service reads its databases' secrets",
            assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"),
            inline_policies={
                "candidates": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            sid="ReadSecrets",
                            actions=["secretsmanager:GetSecretValue"],
                            resources=[candidate.secret_arn for candidate in candidates],
                        ),
                        iam.PolicyStatement(
                            sid="DecryptSecrets",
                            actions=["kms:Decrypt"],
                            resources=[candidate.key_arn for candidate in candidates],
                        ),
                    ]
                )
            },
        )

    def _log_group(self) -> logs.CfnLogGroup:
        stack = cdk.Stack.of(self)
        name = self._name("log-group", "payments")
        key = kms.Key(
            self,
            "Key",
            alias=self._name("alias", "payments"),
            description="Logs of the payment service",
            enable_key_rotation=True,
            pending_window=cdk.Duration.days(7),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        log_group_arn = stack.format_arn(
            service="logs",
            resource="log-group",
            resource_name=name,
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
        )
        # Source: Amazon CloudWatch Logs user guide, "Encrypt log data using AWS KMS".
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Logs",
                principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
                actions=["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
                resources=["*"],
                conditions={"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": log_group_arn}},
            )
        )
        log_group = logs.CfnLogGroup(
            self,
            "Logs",
            log_group_name=name,
            retention_in_days=self._props.log_retention_days,
            kms_key_id=key.key_arn,
        )
        log_group.apply_removal_policy(cdk.RemovalPolicy.DESTROY)
        return log_group

    def _execution_role(self, log_group: logs.CfnLogGroup) -> iam.IRole:
        role = iam.Role(
            self,
            "ExecutionRole",
            role_name=self._name("role", "payments-execution"),
            description="ECS pulls the payment service's image and writes its logs",
            assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"),
            inline_policies={
                "start": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            sid="Pull",
                            actions=[
                                "ecr:BatchCheckLayerAvailability",
                                "ecr:BatchGetImage",
                                "ecr:GetDownloadUrlForLayer",
                            ],
                            resources=[self._props.repository_arn],
                        ),
                        # ECR has no resource-level permission for this action.
                        iam.PolicyStatement(sid="LogIn", actions=["ecr:GetAuthorizationToken"], resources=["*"]),
                        iam.PolicyStatement(
                            sid="Log",
                            actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                            resources=[log_group.attr_arn],
                        ),
                    ]
                )
            },
        )
        # All of it inline, and CDK adds nothing: a policy of its own could come after the first task was started.
        return role.without_policy_updates()

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
        )
        definition.add_container(
            "Payments",
            container_name="payments",
            image=ecs.ContainerImage.from_registry(props.image),
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
        return definition

    def _load_balancer(self) -> tuple[elbv2.ApplicationTargetGroup, elbv2.ApplicationLoadBalancer]:
        props = self._props
        load_balancer = elbv2.ApplicationLoadBalancer(
            self,
            "LoadBalancer",
            load_balancer_name=self._name("load-balancer"),
            vpc=props.vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC),
            internet_facing=True,
            security_group=props.load_balancer_security_group,
            idle_timeout=cdk.Duration.seconds(IDLE_TIMEOUT_SECONDS),
            client_keep_alive=cdk.Duration.seconds(CLIENT_KEEP_ALIVE_SECONDS),
            drop_invalid_header_fields=True,
            # The stack must be destroyable without a person.
            deletion_protection=False,
        )
        target_group = elbv2.ApplicationTargetGroup(
            self,
            "TargetGroup",
            target_group_name=self._name("target-group"),
            vpc=props.vpc,
            target_type=elbv2.TargetType.IP,
            protocol=elbv2.ApplicationProtocol.HTTP,
            port=CONTAINER_PORT,
            deregistration_delay=cdk.Duration.seconds(props.deregistration_delay_seconds),
            health_check=elbv2.HealthCheck(
                path="/health",
                healthy_http_codes="200",
                interval=cdk.Duration.seconds(5),
                timeout=cdk.Duration.seconds(2),
                healthy_threshold_count=2,
                unhealthy_threshold_count=2,
            ),
        )
        load_balancer.add_listener(
            "Http",
            port=80,
            protocol=elbv2.ApplicationProtocol.HTTP,
            # Who may connect is decided by the security group, which the network tier owns.
            open=False,
            default_target_groups=[target_group],
        )
        return target_group, load_balancer

    def _service(self, definition: ecs.FargateTaskDefinition) -> ecs.FargateService:
        props = self._props
        service = ecs.FargateService(
            self,
            "Service",
            service_name=self._name("service", "payments"),
            cluster=self.cluster,
            task_definition=definition,
            desired_count=props.desired_count,
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
        scaling = self.service.auto_scale_task_count(min_capacity=props.desired_count, max_capacity=props.max_count)
        scaling.scale_on_cpu_utilization(
            "Cpu", policy_name=self._name("policy", "payments-cpu"), target_utilization_percent=60
        )
        scaling.scale_on_memory_utilization(
            "Memory", policy_name=self._name("policy", "payments-memory"), target_utilization_percent=70
        )
