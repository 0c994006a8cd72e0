"""Encryption in transit, as far as a template shows it.

What a template does not show: how a client connects, what passes through a TCP listener, and what AWS's default
parameter groups say. Source: CloudFormation's template reference of each type.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pm_core.cdk.rules.properties import (
    Check,
    Properties,
    at,
    each,
    equals,
    every,
    is_intrinsic,
    is_off,
    items,
    one_of,
    when,
)
from pm_core.cdk.rules.resource import Neighbours, Resource, means
from pm_core.cdk.rules.tls_only import concerns_tls_policy, file_system_without_tls_policy, without_tls_policy

_LISTENER_RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
# The older ones, and ELBSecurityPolicy-2016-08, which a listener gets that names none, take TLS 1.0.
_MODERN_LISTENER = re.compile(r"ELBSecurityPolicy-(TLS13-1-[23]|TLS-1-2|FS-1-2)(-.+)?")
# Engines of DMS endpoints with an SslMode. Source: AWS DMS API reference, Endpoint.
_ENGINES_WITH_SSL_MODE = frozenset(
    {
        "aurora",
        "aurora-postgresql",
        "db2",
        "db2-zos",
        "docdb",
        "mariadb",
        "mongodb",
        "mysql",
        "oracle",
        "postgres",
        "sqlserver",
        "sybase",
    }
)
# What a parameter group must say so that the server refuses clear text, by the beginning of its family.
_REQUIRES_TLS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "postgres": ("rds.force_ssl", ("1",)),
    "aurora-postgresql": ("rds.force_ssl", ("1",)),
    "sqlserver": ("rds.force_ssl", ("1",)),
    "mysql": ("require_secure_transport", ("1", "on")),
    "mariadb": ("require_secure_transport", ("1", "on")),
    "aurora-mysql": ("require_secure_transport", ("1", "on")),
    "neptune": ("neptune_enforce_ssl", ("1",)),
    "docdb": ("tls", ("enabled", "fips-140-3", "tls1.2+", "tls1.3+")),
}


def concerns_transit(kind: str) -> bool:
    """Whether :func:`unencrypted_in_transit` has anything to ask of a type."""
    return kind in _TABLE or kind == _LISTENER_RULE or concerns_tls_policy(kind)


def unencrypted_in_transit(
    resource: Resource, neighbours: Callable[[], Neighbours], *, database_tls: bool = True
) -> str | None:
    """Why data would travel in clear text to, from or through a resource, and what to do; None when it is fine.

    Args:
        resource: The one to look at.
        neighbours: The stack's resources: policies and listeners are resources of their own.
        database_tls: Whether the PostgreSQL servers have TLS; without it their parameter groups need not ask for it,
            nor DMS's endpoints use it. Nothing else is let through.
    """
    if resource.kind == _LISTENER_RULE:
        return _rule_of_clear_text_listener(resource, neighbours)
    if not database_tls and _is_about_postgresql(resource):
        return None
    check = _TABLE.get(resource.kind)
    return (check(resource.properties) if check else None) or without_tls_policy(resource, neighbours)


def _is_about_postgresql(resource: Resource) -> bool:
    match resource.kind:
        case "AWS::DMS::Endpoint":
            return str(at(resource.properties, "EngineName")).lower() == "postgres"
        case "AWS::RDS::DBParameterGroup":
            return str(at(resource.properties, "Family")).lower().startswith("postgres")
    return False


def _unless(forbidden: tuple[str, ...], wanted: str, *path: str) -> Check:
    """The value at ``path`` is none of ``forbidden``; a missing one is fine, since AWS's default is."""

    def check(properties: Properties) -> str | None:
        found = at(properties, *path)
        if str(found).lower() not in forbidden:
            return None
        return f"{'.'.join(path)} is {str(found).lower()}: set it to {wanted}"

    return check


def _matches(pattern: str, wanted: str, *path: str) -> Check:
    expression = re.compile(pattern)

    def check(properties: Properties) -> str | None:
        found = at(properties, *path)
        if is_intrinsic(found) or expression.fullmatch(str(found)):
            return None
        return f"{'.'.join(path)} is {'missing' if found is None else found}: set it to {wanted}"

    return check


def _no_plain_http(*path: str) -> Check:
    def check(properties: Properties) -> str | None:
        found = at(properties, *path)
        plain = isinstance(found, str) and found.lower().startswith("http://")
        return f"{'.'.join(path)} is {found}: use https://" if plain else None

    return check


def _says(word: str, *path: str) -> Callable[[Properties], bool]:
    return lambda properties: str(at(properties, *path)).lower() == word


def _listener(properties: Properties) -> str | None:
    protocol = str(at(properties, "Protocol")).upper()
    if protocol in {"HTTPS", "TLS"}:
        return _matches(_MODERN_LISTENER.pattern, "ELBSecurityPolicy-TLS13-1-2-2021-06 or newer", "SslPolicy")(
            properties
        )
    if protocol == "HTTP" and not _only_redirects(properties, "DefaultActions"):
        return "Protocol is HTTP and DefaultActions do not redirect to HTTPS: set it to HTTPS, or redirect"
    return None


def _only_redirects(properties: Properties, path: str) -> bool:
    actions = list(items(properties, path))
    return bool(actions) and all(
        at(action, "Type") == "redirect" and str(at(action, "RedirectConfig", "Protocol")).upper() == "HTTPS"
        for action in actions
    )


def _rule_of_clear_text_listener(rule: Resource, neighbours: Callable[[], Neighbours]) -> str | None:
    listeners = neighbours().of("AWS::ElasticLoadBalancingV2::Listener")
    reference = at(rule.properties, "ListenerArn")
    mine = next((listener for listener in listeners if means(reference, listener)), None)
    if mine is None or str(at(mine.properties, "Protocol")).upper() != "HTTP":
        return None
    if _only_redirects(rule.properties, "Actions"):
        return None
    return "Actions of a rule of an HTTP listener do not redirect to HTTPS: move it to an HTTPS listener, or redirect"


def _target_group(properties: Properties) -> str | None:
    if str(at(properties, "TargetType")).lower() in {"lambda", "alb"}:
        return None  # called by AWS's API; or a listener, which is looked at by itself
    return _unless(("http", "none"), "HTTPS", "Protocol")(properties)


def _parameter_group(family: str, parameters: str) -> Check:
    """Of a group whose parameters are a mapping."""

    def check(properties: Properties) -> str | None:
        name = str(at(properties, family)).lower()
        wanted = next((found for start, found in _REQUIRES_TLS.items() if name.startswith(start)), None)
        return one_of(wanted[1], parameters, wanted[0])(properties) if wanted else None

    return check


def _redshift_parameters(properties: Properties) -> str | None:
    return _named_parameter(properties, "Parameters", "require_ssl", "ParameterName", "ParameterValue")


def _redshift_serverless_parameters(properties: Properties) -> str | None:
    return _named_parameter(properties, "ConfigParameters", "require_ssl", "ParameterKey", "ParameterValue")


def _named_parameter(properties: Properties, path: str, name: str, key: str, value: str) -> str | None:
    said = {str(at(one, key)).lower(): at(one, value) for one in items(properties, path)}
    return None if not is_off(said.get(name)) else f"{path} do not set {name}: set it to true"


def _distribution(properties: Properties) -> str | None:
    config: Any = at(properties, "DistributionConfig")
    behaviors = [at(config, "DefaultCacheBehavior") or {}, *items(config or {}, "CacheBehaviors")]
    for behavior in behaviors:
        if problem := one_of(("redirect-to-https", "https-only"), "ViewerProtocolPolicy")(behavior):
            return f"DistributionConfig cache behavior: {problem}"
    modern = r"TLSv1\.[23]_.+"
    return every(
        _matches(modern, "TLSv1.2_2021 or newer", "DistributionConfig", "ViewerCertificate", "MinimumProtocolVersion"),
        each(_origin, "DistributionConfig", "Origins"),
    )(properties)


def _origin(origin: Properties) -> str | None:
    if at(origin, "CustomOriginConfig") is None:
        return None  # a bucket, which refuses clear text by its policy
    return equals("https-only", "CustomOriginConfig", "OriginProtocolPolicy")(origin)


def _mounts_over_tls(*path: str) -> Check:
    return each(
        when(
            lambda volume: at(volume, *path) is not None,
            equals("ENABLED", *path, "TransitEncryption"),
        ),
        "Volumes",
    )


def _connection(properties: Properties) -> str | None:
    parameters = ("ConnectionInput", "ConnectionProperties", "JDBC_ENFORCE_SSL")
    is_jdbc = _says("jdbc", "ConnectionInput", "ConnectionType")(properties)
    return equals(True, *parameters)(properties) if is_jdbc else None


_OPENSEARCH = every(
    equals(True, "NodeToNodeEncryptionOptions", "Enabled"),
    equals(True, "DomainEndpointOptions", "EnforceHTTPS"),
    _matches(r"Policy-Min-TLS-1-2.*", "Policy-Min-TLS-1-2-PFS-2023-10", "DomainEndpointOptions", "TLSSecurityPolicy"),
)
_DMS_ENDPOINT = every(
    when(
        lambda properties: str(at(properties, "EngineName")).lower() in _ENGINES_WITH_SSL_MODE,
        one_of(("require", "verify-ca", "verify-full"), "SslMode"),
    ),
    _unless(("plaintext",), "ssl-encryption", "RedisSettings", "SslSecurityProtocol"),
    when(
        lambda properties: at(properties, "KafkaSettings") is not None,
        one_of(("ssl-encryption", "ssl-authentication", "sasl-ssl"), "KafkaSettings", "SecurityProtocol"),
    ),
)
_API_DOMAIN = r"TLS_1_[23]|SecurityPolicy_TLS1[23]_.+"

_TABLE: Mapping[str, Check] = {
    "AWS::ApiGateway::DomainName": _matches(_API_DOMAIN, "TLS_1_2", "SecurityPolicy"),
    "AWS::ApiGateway::Method": _no_plain_http("Integration", "Uri"),
    "AWS::ApiGatewayV2::DomainName": each(
        _matches(_API_DOMAIN, "TLS_1_2", "SecurityPolicy"), "DomainNameConfigurations"
    ),
    "AWS::ApiGatewayV2::Integration": _no_plain_http("IntegrationUri"),
    "AWS::AppSync::ApiCache": equals(True, "TransitEncryptionEnabled"),
    "AWS::AppSync::DataSource": _no_plain_http("HttpConfig", "Endpoint"),
    "AWS::Batch::JobDefinition": each(
        when(
            lambda volume: at(volume, "EfsVolumeConfiguration") is not None,
            equals("ENABLED", "EfsVolumeConfiguration", "TransitEncryption"),
        ),
        "ContainerProperties",
        "Volumes",
    ),
    "AWS::CloudFront::Distribution": _distribution,
    "AWS::DAX::Cluster": equals("TLS", "ClusterEndpointEncryptionType"),
    "AWS::DMS::Endpoint": _DMS_ENDPOINT,
    "AWS::DataSync::LocationEFS": equals("TLS1_2", "InTransitEncryption"),
    "AWS::DocDB::DBClusterParameterGroup": _parameter_group("Family", "Parameters"),
    "AWS::ECS::TaskDefinition": _mounts_over_tls("EFSVolumeConfiguration"),
    "AWS::EFS::FileSystem": file_system_without_tls_policy,
    "AWS::ElastiCache::CacheCluster": equals(True, "TransitEncryptionEnabled"),
    "AWS::ElastiCache::ReplicationGroup": every(
        equals(True, "TransitEncryptionEnabled"), _unless(("preferred",), "required", "TransitEncryptionMode")
    ),
    "AWS::ElasticLoadBalancing::LoadBalancer": each(
        every(one_of(("HTTPS", "SSL"), "Protocol"), one_of(("HTTPS", "SSL"), "InstanceProtocol")), "Listeners"
    ),
    "AWS::ElasticLoadBalancingV2::Listener": _listener,
    "AWS::ElasticLoadBalancingV2::TargetGroup": _target_group,
    "AWS::Elasticsearch::Domain": _OPENSEARCH,
    "AWS::Glue::Connection": _connection,
    "AWS::KafkaConnect::Connector": equals("TLS", "KafkaClusterEncryptionInTransit", "EncryptionType"),
    "AWS::MSK::Cluster": every(
        _unless(("plaintext", "tls_plaintext"), "TLS", "EncryptionInfo", "EncryptionInTransit", "ClientBroker"),
        _unless(("false",), "true", "EncryptionInfo", "EncryptionInTransit", "InCluster"),
    ),
    "AWS::MemoryDB::Cluster": _unless(("false",), "true", "TLSEnabled"),
    "AWS::Neptune::DBClusterParameterGroup": _parameter_group("Family", "Parameters"),
    "AWS::OpenSearchService::Domain": _OPENSEARCH,
    "AWS::RDS::DBClusterParameterGroup": _parameter_group("Family", "Parameters"),
    "AWS::RDS::DBParameterGroup": _parameter_group("Family", "Parameters"),
    "AWS::RDS::DBProxy": equals(True, "RequireTLS"),
    "AWS::Redshift::ClusterParameterGroup": _redshift_parameters,
    "AWS::RedshiftServerless::Workgroup": _redshift_serverless_parameters,
    "AWS::Route53::HealthCheck": _unless(("http", "http_str_match"), "HTTPS", "HealthCheckConfig", "Type"),
    "AWS::SES::ConfigurationSet": equals("REQUIRE", "DeliveryOptions", "TlsPolicy"),
    "AWS::SES::ReceiptRule": equals("Require", "Rule", "TlsPolicy"),
    "AWS::SNS::Subscription": _unless(("http",), "https", "Protocol"),
    "AWS::SNS::Topic": each(_unless(("http",), "https", "Protocol"), "Subscription"),
    "AWS::Transfer::Server": lambda properties: (
        "Protocols include FTP: use SFTP or FTPS" if "FTP" in (at(properties, "Protocols") or ()) else None
    ),
    "AWS::VpcLattice::Listener": _unless(("http",), "HTTPS", "Protocol"),
    "AWS::VpcLattice::TargetGroup": _unless(("http",), "HTTPS", "Config", "Protocol"),
}
