"""The aspects refuse what lets data travel in clear text."""

from collections.abc import Mapping

import pytest
from aspects_rig import IN_TRANSIT, Props, errors_in, refusals, stack_of

LISTENER, RULE = "AWS::ElasticLoadBalancingV2::Listener", "AWS::ElasticLoadBalancingV2::ListenerRule"
REDIRECT = [{"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "StatusCode": "HTTP_301"}}]
FORWARD = [{"Type": "forward", "TargetGroupArn": "arn"}]
MODERN = "ELBSecurityPolicy-TLS13-1-2-2021-06"
DENY = {"Effect": "Deny", "Principal": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}, "Resource": "*"}
ALLOW = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}


def tls_policy(action: str) -> Props:
    return {"Statement": [ALLOW, {**DENY, "Action": action}]}


# Of each type one that lets data travel in clear text, one that does not, and what the error names.
IN_TRANSIT_EXAMPLES: Mapping[str, tuple[Props, Props, str]] = {
    "AWS::ApiGateway::DomainName": ({"SecurityPolicy": "TLS_1_0"}, {"SecurityPolicy": "TLS_1_2"}, "SecurityPolicy"),
    "AWS::ApiGateway::Method": (
        {"Integration": {"Uri": "http://backend"}},
        {"Integration": {"Uri": "https://backend"}},
        "Integration.Uri is http://backend",
    ),
    "AWS::ApiGatewayV2::DomainName": (
        {"DomainNameConfigurations": [{"CertificateArn": "arn"}]},
        {"DomainNameConfigurations": [{"CertificateArn": "arn", "SecurityPolicy": "TLS_1_2"}]},
        "SecurityPolicy is missing",
    ),
    "AWS::CloudFront::Distribution": (
        {"DistributionConfig": {"DefaultCacheBehavior": {"ViewerProtocolPolicy": "allow-all"}}},
        {
            "DistributionConfig": {
                "DefaultCacheBehavior": {"ViewerProtocolPolicy": "https-only"},
                "ViewerCertificate": {"AcmCertificateArn": "arn", "MinimumProtocolVersion": "TLSv1.2_2021"},
                "Origins": [{"CustomOriginConfig": {"OriginProtocolPolicy": "https-only"}}],
            }
        },
        "ViewerProtocolPolicy is allow-all",
    ),
    "AWS::DAX::Cluster": (
        {"ClusterEndpointEncryptionType": "NONE"},
        {"ClusterEndpointEncryptionType": "TLS"},
        "ClusterEndpointEncryptionType is NONE",
    ),
    "AWS::DMS::Endpoint": (
        {"EngineName": "postgres", "SslMode": "none"},
        {"EngineName": "postgres", "SslMode": "require"},
        "SslMode is none: set it to require",
    ),
    "AWS::DocDB::DBClusterParameterGroup": (
        {"Family": "docdb5.0", "Parameters": {"tls": "disabled"}},
        {"Family": "docdb5.0", "Parameters": {"tls": "enabled"}},
        "Parameters.tls is disabled",
    ),
    "AWS::ECS::TaskDefinition": (
        {"Volumes": [{"Name": "shared", "EFSVolumeConfiguration": {"FilesystemId": "fs"}}]},
        {
            "Volumes": [
                {"EFSVolumeConfiguration": {"FilesystemId": "fs", "TransitEncryption": "ENABLED"}},
                {"Name": "own"},
            ]
        },
        "EFSVolumeConfiguration.TransitEncryption is missing",
    ),
    "AWS::EFS::FileSystem": (
        {"FileSystemPolicy": {"Statement": [ALLOW]}},
        {"FileSystemPolicy": tls_policy("*")},
        "FileSystemPolicy does not deny",
    ),
    "AWS::ElastiCache::CacheCluster": ({}, {"TransitEncryptionEnabled": True}, "TransitEncryptionEnabled is missing"),
    "AWS::ElastiCache::ReplicationGroup": (
        {"TransitEncryptionEnabled": True, "TransitEncryptionMode": "preferred"},
        {"TransitEncryptionEnabled": True},
        "TransitEncryptionMode is preferred: set it to required",
    ),
    "AWS::ElasticLoadBalancing::LoadBalancer": (
        {"Listeners": [{"Protocol": "HTTPS", "InstanceProtocol": "HTTP"}]},
        {"Listeners": [{"Protocol": "HTTPS", "InstanceProtocol": "HTTPS"}]},
        "InstanceProtocol is HTTP",
    ),
    LISTENER: (
        {"Protocol": "HTTP", "DefaultActions": FORWARD},
        {"Protocol": "HTTP", "DefaultActions": REDIRECT},
        "Protocol is HTTP and DefaultActions do not redirect",
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": (
        {"Protocol": "HTTP", "TargetType": "ip"},
        {"Protocol": "HTTPS", "TargetType": "ip"},
        "Protocol is http: set it to HTTPS",
    ),
    "AWS::MSK::Cluster": (
        {"EncryptionInfo": {"EncryptionInTransit": {"ClientBroker": "TLS_PLAINTEXT"}}},
        {"EncryptionInfo": {"EncryptionInTransit": {"ClientBroker": "TLS"}}},
        "ClientBroker is tls_plaintext",
    ),
    "AWS::MemoryDB::Cluster": ({"TLSEnabled": "false"}, {}, "TLSEnabled is false"),
    "AWS::Neptune::DBClusterParameterGroup": (
        {"Family": "neptune1.3", "Parameters": {"neptune_enforce_ssl": 0}},
        {"Family": "neptune1.3", "Parameters": {"neptune_enforce_ssl": 1}},
        "Parameters.neptune_enforce_ssl is 0",
    ),
    "AWS::OpenSearchService::Domain": (
        {"NodeToNodeEncryptionOptions": {"Enabled": True}, "DomainEndpointOptions": {"EnforceHTTPS": False}},
        {
            "NodeToNodeEncryptionOptions": {"Enabled": True},
            "DomainEndpointOptions": {"EnforceHTTPS": True, "TLSSecurityPolicy": "Policy-Min-TLS-1-2-2019-07"},
        },
        "DomainEndpointOptions.EnforceHTTPS is False",
    ),
    "AWS::RDS::DBClusterParameterGroup": (
        {"Family": "aurora-mysql8.0", "Parameters": {}},
        {"Family": "aurora-mysql8.0", "Parameters": {"require_secure_transport": "ON"}},
        "Parameters.require_secure_transport is missing",
    ),
    "AWS::RDS::DBParameterGroup": (
        {"Family": "postgres17", "Parameters": {"rds.force_ssl": "0"}},
        {"Family": "postgres17", "Parameters": {"rds.force_ssl": "1"}},
        "Parameters.rds.force_ssl is 0: set it to 1",
    ),
    "AWS::RDS::DBProxy": ({}, {"RequireTLS": True}, "RequireTLS is missing"),
    "AWS::Redshift::ClusterParameterGroup": (
        {"Parameters": [{"ParameterName": "require_ssl", "ParameterValue": "false"}]},
        {"Parameters": [{"ParameterName": "require_ssl", "ParameterValue": "true"}]},
        "Parameters do not set require_ssl",
    ),
    "AWS::RedshiftServerless::Workgroup": (
        {},
        {"ConfigParameters": [{"ParameterKey": "require_ssl", "ParameterValue": "true"}]},
        "ConfigParameters do not set require_ssl",
    ),
    "AWS::Route53::HealthCheck": (
        {"HealthCheckConfig": {"Type": "HTTP"}},
        {"HealthCheckConfig": {"Type": "HTTPS"}},
        "HealthCheckConfig.Type is http",
    ),
    "AWS::SNS::Subscription": ({"Protocol": "http"}, {"Protocol": "https"}, "Protocol is http: set it to https"),
    "AWS::Transfer::Server": ({"Protocols": ["SFTP", "FTP"]}, {"Protocols": ["SFTP"]}, "Protocols include FTP"),
    "AWS::VpcLattice::Listener": ({"Protocol": "HTTP"}, {"Protocol": "HTTPS"}, "Protocol is http: set it to HTTPS"),
}


@pytest.mark.parametrize("kind", IN_TRANSIT_EXAMPLES)
def test_clear_text_on_its_way_is_refused_and_named(kind: str) -> None:
    clear, _, named = IN_TRANSIT_EXAMPLES[kind]
    (error,) = refusals(errors_in(stack_of(kind, clear)), IN_TRANSIT, kind)
    assert named in error


@pytest.mark.parametrize("kind", IN_TRANSIT_EXAMPLES)
def test_what_speaks_tls_passes(kind: str) -> None:
    assert refusals(errors_in(stack_of(kind, IN_TRANSIT_EXAMPLES[kind][1])), IN_TRANSIT, kind) == []


@pytest.mark.parametrize(
    ("kind", "policy", "path", "action"),
    [
        ("AWS::S3::Bucket", "AWS::S3::BucketPolicy", "Bucket", "s3:*"),
        ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "Topics", "sns:Publish"),
        ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "Queues", "sqs:*"),
    ],
)
def test_what_aws_also_serves_over_http_needs_a_policy_that_denies_it(
    kind: str, policy: str, path: str, action: str
) -> None:
    def with_policy(target: object, document: Props) -> list[str]:
        named = target if path == "Bucket" else [target]
        stack = stack_of(kind, {}, (policy, {path: named, "PolicyDocument": document}))
        return refusals(errors_in(stack), IN_TRANSIT, kind)

    assert with_policy({"Ref": "Foreign"}, tls_policy(action)) == []
    refused = [
        refusals(errors_in(stack_of(kind, {})), IN_TRANSIT, kind),
        with_policy({"Ref": "Another"}, tls_policy(action)),
        with_policy({"Ref": "Foreign"}, {"Statement": [ALLOW]}),
        with_policy({"Ref": "Foreign"}, tls_policy("s3:GetObject")),
        with_policy({"Ref": "Foreign"}, {"Statement": [{**DENY, "Action": action, "Effect": "Allow"}]}),
        with_policy({"Ref": "Foreign"}, {"Statement": [{**DENY, "Action": action, "Principal": {"AWS": "arn"}}]}),
        with_policy({"Ref": "Foreign"}, {"Statement": [{**DENY, "Action": action, "Condition": {}}]}),
    ]
    for errors in refused:
        (error,) = errors
        assert f"no {policy} denies requests without TLS" in error


@pytest.mark.parametrize("policy", [None, "ELBSecurityPolicy-2016-08", "ELBSecurityPolicy-TLS13-1-0-2021-06"])
def test_listeners_that_take_old_tls_are_refused(policy: str | None) -> None:
    properties = {"Protocol": "HTTPS", "DefaultActions": FORWARD} | ({"SslPolicy": policy} if policy else {})
    (error,) = errors_in(stack_of(LISTENER, properties))
    assert f"SslPolicy is {policy or 'missing'}" in error


@pytest.mark.parametrize(
    "policy", [MODERN, "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", "ELBSecurityPolicy-TLS-1-2-2017-01"]
)
def test_listeners_that_take_new_tls_pass(policy: str) -> None:
    assert errors_in(stack_of(LISTENER, {"Protocol": "HTTPS", "SslPolicy": policy, "DefaultActions": FORWARD})) == []


def test_a_rule_cannot_undo_the_redirect_of_its_listener() -> None:
    plain = (LISTENER, {"Protocol": "HTTP", "DefaultActions": REDIRECT})
    encrypted = (LISTENER, {"Protocol": "HTTPS", "SslPolicy": MODERN, "DefaultActions": FORWARD})
    rule = {"ListenerArn": {"Ref": "Other1"}, "Actions": FORWARD}
    (error,) = errors_in(stack_of(RULE, rule, plain))
    assert "Actions of a rule of an HTTP listener do not redirect" in error
    assert errors_in(stack_of(RULE, rule | {"Actions": REDIRECT}, plain)) == []
    assert errors_in(stack_of(RULE, rule, encrypted)) == []


@pytest.mark.parametrize(
    ("origin", "certificate", "named"),
    [
        ("https-only", {"CloudFrontDefaultCertificate": True}, "MinimumProtocolVersion is missing"),
        ("https-only", {"MinimumProtocolVersion": "TLSv1.1_2016"}, "MinimumProtocolVersion is TLSv1.1_2016"),
        ("match-viewer", {"MinimumProtocolVersion": "TLSv1.2_2021"}, "OriginProtocolPolicy is match-viewer"),
    ],
)
def test_distributions_are_encrypted_to_the_viewer_and_to_the_origin(
    origin: str, certificate: Props, named: str
) -> None:
    config = {
        "DefaultCacheBehavior": {"ViewerProtocolPolicy": "https-only"},
        "ViewerCertificate": certificate,
        "Origins": [{"CustomOriginConfig": {"OriginProtocolPolicy": origin}}],
    }
    (error,) = errors_in(stack_of("AWS::CloudFront::Distribution", {"DistributionConfig": config}))
    assert named in error


def test_databases_without_tls_are_let_through_and_nothing_else() -> None:
    """The rehearsal's PostgreSQL has none; the option is about exactly that."""

    def errors(kind: str, properties: Props) -> list[str]:
        return refusals(errors_in(stack_of(kind, properties, database_tls=False)), IN_TRANSIT, kind)

    for kind in ("AWS::DMS::Endpoint", "AWS::RDS::DBParameterGroup"):
        assert errors(kind, IN_TRANSIT_EXAMPLES[kind][0]) == []
    assert errors("AWS::DMS::Endpoint", {"EngineName": "mysql", "SslMode": "none"})
    assert errors("AWS::RDS::DBParameterGroup", {"Family": "mysql8.0", "Parameters": {}})
    for kind in IN_TRANSIT_EXAMPLES.keys() - {"AWS::DMS::Endpoint", "AWS::RDS::DBParameterGroup"}:
        assert errors(kind, IN_TRANSIT_EXAMPLES[kind][0]), kind
