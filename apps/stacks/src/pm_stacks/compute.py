"""The payment service of one environment as a stack."""

from typing import get_args

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2

from pm_compute import Candidate, PaymentService, PaymentServiceProps
from pm_core import CertificateContract, DataContract, Environment, NetworkContract, RegistryContract, Settings
from pm_stacks.base import TierStack


class ComputeStack(TierStack):
    """Cluster, service and load balancer of one environment.

    Reads the network and registry tiers of its own environment and the data tiers of both: whichever environment a
    request reaches, the write goes to the one open writer. In phase ``complete`` the target's service knows the target
    alone, so that the source can be destroyed: before that, a source that nobody can ask stops all writes.
    """

    def __init__(self, *, app: cdk.App, environment: Environment, settings: Settings) -> None:
        super().__init__(app=app, tier="compute", environment=environment, settings=settings)
        network = self.read(NetworkContract)
        registry = self.read(RegistryContract)
        alone = environment == "target" and settings.migration_phase == "complete"
        names: tuple[Environment, ...] = ("target",) if alone else get_args(Environment)
        databases = {name: self.read(DataContract, environment=name) for name in names}
        tasks = settings.environment(environment)
        service = PaymentService(
            self,
            "Payments",
            props=PaymentServiceProps(
                environment=environment,
                suffix=settings.environment_suffix,
                vpc=self._vpc(network),
                service_security_group=self._group("ServiceGroup", network.service_security_group_id),
                load_balancer_security_group=self._group("LoadBalancerGroup", network.load_balancer_security_group_id),
                repository_arn=self.format_arn(
                    service="ecr", resource="repository", resource_name=registry.repository_name
                ),
                repository_name=registry.repository_name,
                repository_uri=registry.repository_uri,
                image_tag=settings.image_tag,
                certificate_arn=self.read(CertificateContract, environment="source").certificate_arn,
                cpu_architecture=settings.cpu_architecture,
                candidates=tuple(
                    Candidate(name=name, secret_arn=database.app_secret_arn, key_arn=database.key_arn)
                    for name, database in databases.items()
                ),
                ssl_mode=settings.database_ssl_mode,
                desired_count=tasks.desired_count,
                max_count=tasks.max_count,
                deregistration_delay_seconds=settings.deregistration_delay_seconds,
                log_retention_days=settings.log_retention_days,
            ),
        )
        self.publish(service.contract)
        cdk.CfnOutput(
            self,
            "HealthEndpoint",
            value=f"https://{service.load_balancer.load_balancer_dns_name}/health",
            description="Answers 200 while the service runs; /ready answers 200 when it knows the writer. The "
            "certificate is for the service's name: HealthCommand asks under it.",
        )
        name = settings.record_name
        cdk.CfnOutput(
            self,
            "HealthCommand",
            value=f"curl --fail --connect-to {name}:443:{service.load_balancer.load_balancer_dns_name}:443"
            f" https://{name}/health",
            description="Asks this environment, wherever the name leads to.",
        )

    def _vpc(self, network: NetworkContract) -> ec2.IVpc:
        vpc = ec2.Vpc.from_vpc_attributes(
            self,
            "Vpc",
            vpc_id=network.vpc_id,
            # Only pairs the subnets up; the network has one of each kind per zone, in this order.
            availability_zones=list(self.settings.availability_zones),
            public_subnet_ids=list(network.public_subnet_ids),
            private_subnet_ids=list(network.private_subnet_ids),
        )
        # Routes belong to the network tier; nothing here asks for them.
        for subnet in (*vpc.public_subnets, *vpc.private_subnets):
            cdk.Annotations.of(subnet).acknowledge_warning("@aws-cdk/aws-ec2:noSubnetRouteTableId")
        return vpc

    def _group(self, construct_id: str, security_group_id: str) -> ec2.ISecurityGroup:
        # Immutable: who may talk to whom is the network tier's decision, not a by-product of wiring things up here.
        return ec2.SecurityGroup.from_security_group_id(self, construct_id, security_group_id, mutable=False)
