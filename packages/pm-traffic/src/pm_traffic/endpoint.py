"""One environment's share of the payment service's name."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_route53 as route53
from constructs import Construct

from pm_core import TrafficContract
from pm_core.cdk import CustomerKey
from pm_traffic.kept_weight import KeptWeight, KeptWeightProps


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedEndpointProps:
    """What a weighted record needs to know.

    Attributes:
        environment: source or target; tells the records of one name apart.
        suffix: The deployment's environmentSuffix.
        name: Name of the health check.
        hosted_zone_id: The zone.
        record_name: The payment service's name.
        load_balancer_dns_name: Where the record points to.
        weight: 0 to 100 as text; a value that CloudFormation reads from SSM at deploy time, so that an update of this
            stack sets the weight that is in force instead of resetting it.
        weight_parameter: Path of the SSM parameter that ``weight`` is read from.
        ttl_seconds: TTL of the record.
        log_retention_days: Retention of the log of the function that keeps the weight.
    """

    environment: str
    suffix: str
    name: str
    hosted_zone_id: str
    record_name: str
    load_balancer_dns_name: str
    weight: str
    weight_parameter: str
    ttl_seconds: int
    log_retention_days: int = 30


class WeightedEndpoint(Construct):
    """A weighted CNAME and the health check that takes it out of the answers.

    A CNAME and not an alias, because an alias has a TTL of 60 s that cannot be changed. Whoever shifts traffic writes
    the record itself and the parameter; `KeptWeight` reconciles CloudFormation with that.

    Attributes:
        record: The record.
        health_check: HTTPS, from outside, on the load balancer's own name.
        contract: What the traffic tier publishes.

    Source: AWS::Route53::RecordSet, AWS::Route53::HealthCheck.
    """

    def __init__(self, scope: Construct, construct_id: str, *, props: WeightedEndpointProps) -> None:
        super().__init__(scope, construct_id)
        self.health_check = route53.CfnHealthCheck(
            self,
            "HealthCheck",
            health_check_config=route53.CfnHealthCheck.HealthCheckConfigProperty(
                type="HTTPS",
                fully_qualified_domain_name=props.load_balancer_dns_name,
                port=443,
                enable_sni=True,
                resource_path="/health",
                request_interval=10,
                failure_threshold=2,
            ),
            # A health check has no other name than this tag.
            health_check_tags=[route53.CfnHealthCheck.HealthCheckTagProperty(key="Name", value=props.name)],
        )
        # The L2 record takes its weight as a checked number, not as a value known at deploy time.
        self.record = route53.CfnRecordSet(
            self,
            "Record",
            hosted_zone_id=props.hosted_zone_id,
            name=f"{props.record_name}.",
            type="CNAME",
            ttl=str(props.ttl_seconds),
            set_identifier=props.environment,
            weight=cdk.Token.as_number(props.weight),
            resource_records=[props.load_balancer_dns_name],
            health_check_id=self.health_check.attr_health_check_id,
        )
        KeptWeight(
            self,
            "KeptWeight",
            props=KeptWeightProps(
                environment=props.environment,
                suffix=props.suffix,
                record=self.record,
                weight_parameter=props.weight_parameter,
                key=CustomerKey(
                    self,
                    "Key",
                    environment=props.environment,
                    suffix=props.suffix,
                    qualifier="traffic",
                    description="Log of the function that keeps the weight",
                ),
                log_retention_days=props.log_retention_days,
            ),
        )
        self.contract = TrafficContract(
            record_name=props.record_name,
            set_identifier=props.environment,
            health_check_id=self.health_check.attr_health_check_id,
        )
