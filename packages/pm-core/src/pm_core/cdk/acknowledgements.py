"""Findings of the rule packs and of cfn-lint that are right to have."""

import aws_cdk as cdk
from constructs import IConstruct


def acknowledge(construct: IConstruct, *rules: str, reason: str) -> None:
    """Note for auditors why a construct breaks a rule of a pack.

    Args:
        construct: The one that has the finding, never a whole stack.
        rules: The rule as each pack calls it, for example ``AwsSolutions-RDS10``; with several findings of one rule
            the finding, too: ``AwsSolutions-IAM5[Resource::*]``.
        reason: Why the rule does not fit here, and what protects instead.
    """
    cdk.Validations.of(construct).acknowledge(*(cdk.Acknowledgment(id=rule, reason=reason) for rule in rules))


def acknowledge_lint(resource: cdk.CfnResource, rule: str, *, reason: str) -> None:
    """The same for a finding of cfn-lint, in the resource's own metadata; never in a template's.

    Args:
        resource: The one that has the finding.
        rule: As cfn-lint calls it, for example ``W3010``.
        reason: Why the rule does not fit here.
    """
    resource.add_metadata("cfn-lint", {"config": {"ignore_checks": [rule]}})
    resource.add_metadata(f"cfn-lint:{rule}", reason)
