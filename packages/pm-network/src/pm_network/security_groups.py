"""Who may talk to whom inside one environment's network."""

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from pm_core import resource_name
from pm_core.cdk import acknowledge

POSTGRES_PORT = 5432
SERVICE_PORT = 8080
HTTPS_PORT = 443


class SecurityGroups(Construct):
    """The groups of one network, all of them; between them, rules name groups and never address ranges.

    Attributes:
        load_balancer: Open to the world on 443, and on 80 for the redirect; reaches the service.
        service: Reached by the load balancer; reaches the database and the AWS APIs.
        database: Reached by service, replication, functions and operator; reaches nothing.
        replication: Reaches the database and the AWS APIs; reached by nothing.
        functions: Of Lambda functions that work in the database: roles, rotation, status. As replication.
        operator: Of tasks that run `pm`. As replication.
        endpoints: Of the interface endpoints; reached by the four that call AWS APIs.
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
        self.functions = group("Functions", "functions", "Functions that work in the database")
        self.operator = group("Operator", "operator", "Tasks that run pm")
        self.endpoints = group("Endpoints", "endpoints", "Interface endpoints of AWS APIs")

        world = ec2.Peer.any_ipv4()
        self.load_balancer.add_ingress_rule(world, ec2.Port.tcp(HTTPS_PORT), "HTTPS from the world")
        self.load_balancer.add_ingress_rule(world, ec2.Port.tcp(80), "HTTP from the world, to be redirected")
        acknowledge(
            self.load_balancer,
            "AwsSolutions-EC23",
            reason="Clients of the payment service are anywhere: HTTPS is open to the world, and HTTP answers with a "
            "redirect to it. No other group admits an address range.",
        )
        self.load_balancer.connections.allow_to(
            self.service, ec2.Port.tcp(SERVICE_PORT), "Load balancer to the payment service"
        )
        for caller, name in (
            (self.service, "Service"),
            (self.replication, "Replication"),
            (self.functions, "Functions"),
            (self.operator, "Operator"),
        ):
            caller.connections.allow_to(self.database, ec2.Port.tcp(POSTGRES_PORT), f"{name} to the database")
            self.endpoints.add_ingress_rule(caller, ec2.Port.tcp(HTTPS_PORT), f"{name} to AWS APIs")
            # Also to what has no endpoint here: S3 by its gateway, and by NAT the authorities of RDS and global APIs.
            caller.add_egress_rule(world, ec2.Port.tcp(HTTPS_PORT), "AWS APIs")
