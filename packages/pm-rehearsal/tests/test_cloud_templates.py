import io
import json
import string
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from pm_rehearsal.cloud.launch import EmbeddedCloud
from pm_rehearsal.cloud.schemas import misspelt

DEADLINE_SECONDS = 30
ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}},
}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedCloud]:
    with EmbeddedCloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(server: EmbeddedCloud) -> EmbeddedCloud:
    server.reset()
    return server


def deploy(cloud: EmbeddedCloud, resources: dict[str, Any], *, name: str = "stack", **sections: Any) -> dict[str, str]:
    """Create the stack and wait; its outputs.

    Raises:
        AssertionError: With the reasons of what failed.
    """
    client = cloud.client("cloudformation")
    client.create_stack(
        StackName=name,
        TemplateBody=json.dumps({"Resources": resources, **sections}),
        Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    return finished(cloud, name, "CREATE_COMPLETE")


def finished(cloud: EmbeddedCloud, name: str, expected: str) -> dict[str, str]:
    client = cloud.client("cloudformation")
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        stack = client.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
        assert time.monotonic() < deadline, "the stack did not finish"
        time.sleep(0.05)
    events = client.describe_stack_events(StackName=name)["StackEvents"]
    reasons = [event["ResourceStatusReason"] for event in events if "FAILED" in event["ResourceStatus"]]
    assert stack["StackStatus"] == expected, reasons
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def database(**properties: Any) -> dict[str, Any]:
    return {
        "Type": "AWS::RDS::DBInstance",
        "DeletionPolicy": "Delete",
        "Properties": {
            "Engine": "postgres",
            "DBInstanceClass": "db.r5.large",
            "AllocatedStorage": "100",
            "DBName": "payments",
            "MasterUsername": {"Fn::Sub": "{{resolve:secretsmanager:${Master}:SecretString:username}}"},
            "MasterUserPassword": {"Fn::Sub": "{{resolve:secretsmanager:${Master}:SecretString:password}}"},
            **properties,
        },
    }


def secret(username: str) -> dict[str, Any]:
    return {
        "Type": "AWS::SecretsManager::Secret",
        "Properties": {
            "GenerateSecretString": {
                "SecretStringTemplate": json.dumps({"username": username}),
                "GenerateStringKey": "password",
                "ExcludePunctuation": True,
            }
        },
    }


def attachment(secret_name: str) -> dict[str, Any]:
    return {
        "Type": "AWS::SecretsManager::SecretTargetAttachment",
        "Properties": {
            "SecretId": {"Ref": secret_name},
            "TargetId": {"Ref": "Database"},
            "TargetType": "AWS::RDS::DBInstance",
        },
    }


def read_secret(cloud: EmbeddedCloud, arn: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(cloud.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])
    return value


def connect(content: dict[str, Any], **changes: Any) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=content["host"],
        port=content["port"],
        dbname=content["dbname"],
        **({"user": content["username"], "password": content["password"]} | changes),
        autocommit=True,
    )


def function(code: str) -> dict[str, Any]:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.12",
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Code": {"ZipFile": code},
        },
    }


def test_unknown_resource_type_is_refused(cloud: EmbeddedCloud) -> None:
    with pytest.raises(ClientError, match="AWS::Payments::Ledger"):
        deploy(cloud, {"Ledger": {"Type": "AWS::Payments::Ledger"}})


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ({"Type": "AWS::SNS::Topic", "Properties": {"TopicNam": "a"}}, "TopicNam"),
        (
            {"Type": "AWS::ECS::Service", "Properties": {"DeploymentConfiguration": {"MinimumHealty": 1}}},
            "DeploymentConfiguration.MinimumHealty",
        ),
        ({"Type": "AWS::RDS::DBInstance", "Properties": {"Engin": "postgres"}}, "Engin"),
        (
            {
                "Type": "AWS::ElasticLoadBalancingV2::TargetGroup",
                "Properties": {"TargetGroupAttributes": [{"Kee": "a", "Value": "b"}]},
            },
            "TargetGroupAttributes.Kee",
        ),
    ],
)
def test_misspelt_property_is_refused_before_anything_is_made(
    cloud: EmbeddedCloud, resource: dict[str, Any], path: str
) -> None:
    with pytest.raises(ClientError, match=f"has no property {path}"):
        deploy(cloud, {"Wrong": resource})
    assert cloud.client("cloudformation").describe_stacks()["Stacks"] == []


def test_correct_properties_and_intrinsic_functions_pass() -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    tags = {"Fn::If": ["Tagged", [{"Key": "a", "Value": "b"}], {"Ref": "AWS::NoValue"}]}
    for item in (
        {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": policy, "Tags": tags}},
        {"Type": "AWS::S3::Bucket", "Properties": {"VersioningConfiguration": {"Status": "Enabled"}}},
        {"Type": "Custom::Anything", "Properties": {"Whatever": 1}},
    ):
        assert list(misspelt("Some", item)) == []


def test_property_that_would_be_dropped_is_refused(cloud: EmbeddedCloud) -> None:
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"AccelerateConfiguration": {"AccelerationStatus": "Enabled"}}}
    with pytest.raises(AssertionError, match="AccelerateConfiguration is not supported"):
        deploy(cloud, {"Bucket": bucket})


def test_missing_ssm_parameter_is_named(cloud: EmbeddedCloud) -> None:
    parameters = {"Vpc": {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::VPC::Id>", "Default": "/pm/dev/nothing"}}
    with pytest.raises(ClientError, match="/pm/dev/nothing"):
        deploy(cloud, {"Topic": {"Type": "AWS::SNS::Topic"}}, Parameters=parameters)


def test_ssm_parameters_resolve_to_values_and_lists(cloud: EmbeddedCloud) -> None:
    client = cloud.client("ssm")
    client.put_parameter(Name="/a/one", Value="vpc-1", Type="String")
    client.put_parameter(Name="/a/many", Value="x,y", Type="StringList")
    outputs = deploy(
        cloud,
        {"Topic": {"Type": "AWS::SNS::Topic"}},
        Parameters={
            "One": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/a/one"},
            "Many": {"Type": "AWS::SSM::Parameter::Value<List<String>>", "Default": "/a/many"},
        },
        Outputs={
            "One": {"Value": {"Ref": "One"}},
            "Second": {"Value": {"Fn::Select": [1, {"Ref": "Many"}]}},
        },
    )
    assert outputs == {"One": "vpc-1", "Second": "y"}


def test_database_answers_with_each_attached_secret(cloud: EmbeddedCloud) -> None:
    outputs = deploy(
        cloud,
        {
            "Master": secret("master"),
            "App": secret("pm_app"),
            "Database": database(),
            "MasterAttachment": attachment("Master"),
            "AppAttachment": attachment("App"),
        },
        Outputs={name: {"Value": {"Ref": name}} for name in ("Master", "App")},
    )
    master, application = read_secret(cloud, outputs["Master"]), read_secret(cloud, outputs["App"])
    assert set(application) == {*("engine", "host", "port", "dbname", "dbInstanceIdentifier", "username", "password")}
    assert (application["engine"], application["dbname"]) == ("postgres", "payments")
    with connect(master) as connection:
        rows = connection.execute("SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = 'master'").fetchall()
    assert rows == [(False, True)]
    cloud.client("cloudformation").delete_stack(StackName="stack")
    deadline = time.monotonic() + DEADLINE_SECONDS
    while cloud.client("cloudformation").describe_stacks()["Stacks"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(psycopg.OperationalError):
        connect(master)


def test_other_engines_are_refused(cloud: EmbeddedCloud) -> None:
    with pytest.raises(AssertionError, match="engine 'mysql' is not supported"):
        deploy(cloud, {"Master": secret("master"), "Database": database(Engine="mysql")})


def rotated(cloud: EmbeddedCloud, **hosted: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A master user's secret before and after a rotation by a hosted function."""
    resources = {"Master": secret("master"), "Database": database(), "Attachment": attachment("Master")}
    outputs = deploy(cloud, resources, name="data", Outputs={"Master": {"Value": {"Ref": "Attachment"}}})
    before = read_secret(cloud, outputs["Master"])
    schedule = {
        "Type": "AWS::SecretsManager::RotationSchedule",
        "Properties": {
            "SecretId": outputs["Master"],
            "HostedRotationLambda": {"RotationType": "PostgreSQLSingleUser", **hosted},
            "RotationRules": {"AutomaticallyAfterDays": 30},
        },
    }
    deploy(cloud, {"Schedule": schedule}, name="rotation", Transform="AWS::SecretsManager-2024-09-16")
    return before, read_secret(cloud, outputs["Master"])


def test_hosted_rotation_changes_the_password_in_the_database(cloud: EmbeddedCloud) -> None:
    before, after = rotated(cloud, ExcludeCharacters=f"{string.punctuation.replace('-', '')}aeiou")
    assert before["password"] != after["password"]
    assert set(after["password"]) & set(string.punctuation) == {"-"}
    assert not set(after["password"]) & set("aeiou")
    connect(after).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(before)


@pytest.mark.parametrize("excluded", [string.punctuation, string.digits, string.ascii_lowercase])
def test_hosted_rotation_needs_some_of_each_kind_of_characters(cloud: EmbeddedCloud, excluded: str) -> None:
    with pytest.raises(AssertionError, match="All characters of the desired type have been excluded"):
        rotated(cloud, ExcludeCharacters=excluded)


def test_crashing_custom_resource_fails_at_once(cloud: EmbeddedCloud) -> None:
    started = time.monotonic()
    with pytest.raises(AssertionError, match=r"handler of Crash crashed: .*boom"):
        deploy(
            cloud,
            {
                "Role": ROLE,
                "Function": function("def handler(event, context): raise RuntimeError('boom')"),
                "Crash": {"Type": "Custom::Crash", "Properties": {"ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]}}},
            },
        )
    assert time.monotonic() - started < DEADLINE_SECONDS


def test_custom_resource_reaches_aws_and_answers_through_cfnresponse(cloud: EmbeddedCloud) -> None:
    code = (
        "import boto3, cfnresponse\n"
        "def handler(event, context):\n"
        "    account = boto3.client('sts').get_caller_identity()['Account']\n"
        "    cfnresponse.send(event, context, cfnresponse.SUCCESS, {'Account': account})\n"
    )
    outputs = deploy(
        cloud,
        {
            "Role": ROLE,
            "Function": function(code),
            "Who": {"Type": "Custom::Who", "Properties": {"ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]}}},
        },
        Outputs={"Account": {"Value": {"Fn::GetAtt": ["Who", "Account"]}}},
    )
    assert outputs == {"Account": cloud.account}


def test_bucket_keeps_encryption_lifecycle_and_tags(cloud: EmbeddedCloud) -> None:
    deploy(
        cloud,
        {
            "Bucket": {
                "Type": "AWS::S3::Bucket",
                "Properties": {
                    "BucketName": "pm-logs",
                    "BucketEncryption": {
                        "ServerSideEncryptionConfiguration": [
                            {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
                        ]
                    },
                    "LifecycleConfiguration": {
                        "Rules": [
                            {
                                "Status": "Enabled",
                                "Transitions": [{"StorageClass": "GLACIER_IR", "TransitionInDays": 90}],
                            }
                        ]
                    },
                    "Tags": [{"Key": "CostCenter", "Value": "payments"}],
                },
            }
        },
    )
    client = cloud.client("s3")
    rule = client.get_bucket_encryption(Bucket="pm-logs")["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == "alias/aws/s3"
    lifecycle = client.get_bucket_lifecycle_configuration(Bucket="pm-logs")["Rules"][0]
    assert lifecycle["Transitions"] == [{"Days": 90, "StorageClass": "GLACIER_IR"}]
    assert client.get_bucket_tagging(Bucket="pm-logs")["TagSet"] == [{"Key": "CostCenter", "Value": "payments"}]
    client.put_object(Bucket="pm-logs", Key="a", Body=io.BytesIO(b"x"), ServerSideEncryption="aws:kms")


def test_bucket_with_objects_is_not_deleted(cloud: EmbeddedCloud) -> None:
    bucket = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Delete", "Properties": {"BucketName": "pm-full"}}
    deploy(cloud, {"Bucket": bucket})
    cloud.client("s3").put_object(Bucket="pm-full", Key="a", Body=b"x")
    cloud.client("cloudformation").delete_stack(StackName="stack")
    with pytest.raises(AssertionError, match="pm-full still holds objects"):
        finished(cloud, "stack", "DELETE_COMPLETE")


def test_alarm_looks_only_at_its_own_dimensions(cloud: EmbeddedCloud) -> None:
    client = cloud.client("cloudwatch")
    client.put_metric_alarm(
        AlarmName="lag",
        Namespace="AWS/DMS",
        MetricName="CDCLatencySource",
        Dimensions=[{"Name": "ReplicationTaskIdentifier", "Value": "load"}],
        ComparisonOperator="GreaterThanThreshold",
        Threshold=60,
        EvaluationPeriods=1,
        Period=60,
        Statistic="Maximum",
    )

    def report(task: str, value: float) -> str:
        dimensions = [{"Name": "ReplicationTaskIdentifier", "Value": task}]
        client.put_metric_data(
            Namespace="AWS/DMS",
            MetricData=[{"MetricName": "CDCLatencySource", "Value": value, "Dimensions": dimensions}],
        )
        return str(client.describe_alarms(AlarmNames=["lag"])["MetricAlarms"][0]["StateValue"])

    assert report("other", 500) == "INSUFFICIENT_DATA"
    assert report("load", 1) == "OK"
    assert report("load", 61) == "ALARM"


def test_lambda_from_an_archive_runs_with_this_python(cloud: EmbeddedCloud) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("main.py", "import psycopg\ndef handler(event, context): return psycopg.__version__\n")
    client = cloud.client("lambda")
    client.create_function(
        FunctionName="version",
        Runtime="python3.12",
        Handler="main.handler",
        Role="arn:aws:iam::123456789012:role/any",
        Code={"ZipFile": archive.getvalue()},
    )
    answer = client.invoke(FunctionName="version")
    assert json.loads(answer["Payload"].read()) == psycopg.__version__


def test_a_parameter_from_ssm_shows_its_path_and_what_the_stack_read_there(cloud: EmbeddedCloud) -> None:
    ssm = cloud.client("ssm")
    ssm.put_parameter(Name="/pm/t/vpc-id", Value="vpc-1", Type="String")
    deploy(
        cloud,
        {"Read": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Ref": "Vpc"}}}},
        Parameters={
            "Vpc": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/pm/t/vpc-id"},
            "Plain": {"Type": "String", "Default": "as given"},
        },
    )
    ssm.put_parameter(Name="/pm/t/vpc-id", Value="vpc-2", Type="String", Overwrite=True)
    (stack,) = cloud.client("cloudformation").describe_stacks(StackName="stack")["Stacks"]
    assert {parameter.pop("ParameterKey"): parameter for parameter in stack["Parameters"]} == {
        "Vpc": {"ParameterValue": "/pm/t/vpc-id", "ResolvedValue": "vpc-1"},
        "Plain": {"ParameterValue": "as given"},
    }


@pytest.mark.parametrize(
    ("shifted", "stays"), [({}, False), ({"Weight": 0}, True), ({"TTL": 60}, True), ({"HealthCheckId": "a"}, True)]
)
def test_record_that_is_not_what_was_deployed_outlives_its_stack(
    cloud: EmbeddedCloud, shifted: dict[str, Any], stays: bool
) -> None:
    route53 = cloud.client("route53")
    zone = route53.create_hosted_zone(Name="acme.test", CallerReference="one")["HostedZone"]["Id"]
    common = {"Name": "pay.acme.test.", "Type": "CNAME", "SetIdentifier": "source"}
    properties = {"HostedZoneId": zone, "Weight": "100", "TTL": "10", "ResourceRecords": ["lb-1.test"], **common}
    deploy(cloud, {"Record": {"Type": "AWS::Route53::RecordSet", "Properties": properties}})
    live = {"Weight": 100, "TTL": 10, "ResourceRecords": [{"Value": "lb-1.test"}], **common, **shifted}
    change = {"Action": "UPSERT", "ResourceRecordSet": live}
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [change]})
    cloud.client("cloudformation").delete_stack(StackName="stack")
    deadline = time.monotonic() + DEADLINE_SECONDS
    while cloud.client("cloudformation").describe_stacks()["Stacks"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    left = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    assert [record for record in left if record["Type"] == "CNAME"] == ([live] if stays else [])
