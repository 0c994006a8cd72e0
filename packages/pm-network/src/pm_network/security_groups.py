"""Who may talk to whom inside one environment's network."""

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from pm_core import resource_name

POSTGRES_PORT = 5432
SERVICE_PORT = 8080


class SecurityGroups(Construct):
    """The groups of one network; between them, rules name groups and never address ranges.

    Attributes:
        load_balancer: Open to the world on 443, and on 80 for the redirect; reaches the service.
        service: Reached by the load balancer; reaches the database and the AWS APIs.
        database: Reached by the service and by replication; reaches nothing.
        replication: Reaches the database and the AWS APIs; reached by nothing.
        endpoints: Of the interface endpoints, which any host of this VPC may call, like the APIs behind them.
    """

    def __init__(self, scope: Construct, construct_id: str, *, vpc: ec2.Vpc, environment: str, suffix: str) -> None:
        super().__init__(scope, construct_id)

        def group(group_id: str, qualifier: str, description: str) -> ec2.SecurityGroup:
            return ec2.SecurityGroup(
                self,
                group_id,
                vpc=vpc,
                security_group_name=resource_name("security-group", environment, suffix, qualifier=qualifier),
                description=description,
                allow_all_outbound=False,
            )

        self.load_balancer = group("LoadBalancer", "load-balancer", "Load balancer of the payment service")
        self.service = group("Service", "service", "Tasks of the payment service")
        self.database = group("Database", "database", "Payment database")
        self.replication = group("Replication", "replication", "DMS replication instance")
        self.endpoints = group("Endpoints", "endpoints", "Interface endpoints of AWS APIs")

        world = ec2.Peer.any_ipv4()
        self.load_balancer.add_ingress_rule(world, ec2.Port.tcp(443), "HTTPS from the world")
        self.load_balancer.add_ingress_rule(world, ec2.Port.tcp(80), "HTTP from the world, to be redirected")
        self.load_balancer.connections.allow_to(
            self.service, ec2.Port.tcp(SERVICE_PORT), "Load balancer to the payment service"
        )
        self.service.connections.allow_to(self.database, ec2.Port.tcp(POSTGRES_PORT), "Service to the database")
        self.replication.connections.allow_to(self.database, ec2.Port.tcp(POSTGRES_PORT), "Replication to the database")
        self.endpoints.add_ingress_rule(ec2.Peer.ipv4(vpc.vpc_cidr_block), ec2.Port.tcp(443), "AWS APIs for this VPC")
        for caller in (self.service, self.replication):
            caller.add_egress_rule(world, ec2.Port.tcp(443), "AWS APIs")
