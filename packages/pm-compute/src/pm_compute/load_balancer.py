"""The load balancer of the payment service: HTTPS from clients, HTTPS to the tasks, and a log of it."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_kms as kms
from constructs import Construct

from pm_core import resource_name
from pm_core.cdk import AccessLogBucket, BucketEmptying, acknowledge

CONTAINER_PORT = 8080
# Below the service's keep-alive timeout, or the load balancer answers 502 at random.
IDLE_TIMEOUT_SECONDS = 30
# Clients must look the name up again soon after a shift; the default would hold them for an hour.
CLIENT_KEEP_ALIVE_SECONDS = 60
_ACCOUNT_ID_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLoadBalancerProps:
    """What the load balancer needs to know.

    Attributes:
        environment: source or target.
        suffix: The deployment's environmentSuffix.
        vpc: Network with public subnets.
        security_group: Admits clients; who may connect is decided by the network tier.
        certificate_arn: ACM certificate of the payment service's name.
        key: Encrypts the log of the function that empties the access log bucket.
        deregistration_delay_seconds: How long a stopping task is drained.
        log_retention_days: Retention of that function's log.
    """

    environment: str
    suffix: str
    vpc: ec2.IVpc
    security_group: ec2.ISecurityGroup
    certificate_arn: str
    key: kms.IKey
    deregistration_delay_seconds: int
    log_retention_days: int


class ServiceLoadBalancer(Construct):
    """An internet-facing load balancer that speaks TLS on both sides; plain HTTP gets a redirect and nothing else.

    Attributes:
        load_balancer: The load balancer.
        target_group: The tasks.
        listener: The HTTPS listener.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: ServiceLoadBalancerProps) -> None:
        super().__init__(scope, construct_id)
        load_balancer = elbv2.ApplicationLoadBalancer(
            self,
            "LoadBalancer",
            load_balancer_name=resource_name("load-balancer", props.environment, props.suffix),
            vpc=props.vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC),
            internet_facing=True,
            security_group=props.security_group,
            idle_timeout=cdk.Duration.seconds(IDLE_TIMEOUT_SECONDS),
            client_keep_alive=cdk.Duration.seconds(CLIENT_KEEP_ALIVE_SECONDS),
            drop_invalid_header_fields=True,
            desync_mitigation_mode=elbv2.DesyncMitigationMode.DEFENSIVE,
            # The stack must be destroyable without a person.
            deletion_protection=False,
        )
        self.load_balancer = load_balancer
        self._acknowledge()
        self._keep_access_logs(props)
        # TLS, and nobody verifies the certificate: the task makes its own when it starts. Source: Elastic Load
        # Balancing user guide, "Target groups": the load balancer does not validate targets' certificates.
        self.target_group = elbv2.ApplicationTargetGroup(
            self,
            "TargetGroup",
            target_group_name=resource_name("target-group", props.environment, props.suffix),
            vpc=props.vpc,
            target_type=elbv2.TargetType.IP,
            protocol=elbv2.ApplicationProtocol.HTTPS,
            port=CONTAINER_PORT,
            deregistration_delay=cdk.Duration.seconds(props.deregistration_delay_seconds),
            health_check=elbv2.HealthCheck(
                protocol=elbv2.Protocol.HTTPS,
                path="/health",
                healthy_http_codes="200",
                interval=cdk.Duration.seconds(5),
                timeout=cdk.Duration.seconds(2),
                healthy_threshold_count=2,
                unhealthy_threshold_count=2,
            ),
        )
        self.listener = load_balancer.add_listener(
            "Https",
            port=443,
            protocol=elbv2.ApplicationProtocol.HTTPS,
            certificates=[elbv2.ListenerCertificate.from_arn(props.certificate_arn)],
            ssl_policy=elbv2.SslPolicy.TLS13_RES,
            open=False,
            default_target_groups=[self.target_group],
        )
        redirect = load_balancer.add_listener(
            "Http",
            port=80,
            protocol=elbv2.ApplicationProtocol.HTTP,
            open=False,
            default_action=elbv2.ListenerAction.redirect(protocol="HTTPS", port="443", permanent=True),
        )
        acknowledge(
            redirect,
            "PCI.DSS.321-ELBv2ACMCertificateRequired",
            "NIST.800.53.R5-ELBv2ACMCertificateRequired",
            reason="This listener answers with a redirect to the HTTPS listener and reaches no target.",
        )

    def _keep_access_logs(self, props: ServiceLoadBalancerProps) -> None:
        name = resource_name(
            "bucket", props.environment, props.suffix, qualifier="balancer-logs", reserve=_ACCOUNT_ID_LENGTH + 1
        )
        bucket = AccessLogBucket(self, "AccessLogs", name=f"{name}-{cdk.Aws.ACCOUNT_ID}")
        acknowledge(
            bucket,
            "AwsSolutions-S1",
            "PCI.DSS.321-S3BucketLoggingEnabled",
            "NIST.800.53.R5-S3BucketLoggingEnabled",
            reason="It is a bucket of access logs; logging the access to it would need another one without end.",
        )
        self.load_balancer.log_access_logs(bucket)
        emptying = BucketEmptying(
            self,
            "Emptying",
            environment=props.environment,
            suffix=props.suffix,
            qualifier="empty-balancer-logs",
            key=props.key,
            log_retention_days=props.log_retention_days,
        )
        emptying.empty("EmptiedAccessLogs", bucket)

    def _acknowledge(self) -> None:
        acknowledge(
            self.load_balancer,
            "NIST.800.53.R5-ELBDeletionProtectionEnabled",
            reason="Required: every resource can be destroyed without a person; who may delete the stack is up to IAM.",
        )
        acknowledge(
            self.load_balancer,
            "PCI.DSS.321-ALBWAFEnabled",
            "NIST.800.53.R5-ALBWAFEnabled",
            reason="Generic rules judge requests by content and would refuse some payments. The service takes a "
            "few requests of a fixed shape and validates each; a company that must have a firewall associates its own "
            "web ACL with this load balancer, outside of the migration (docs/deploying.md).",
        )
