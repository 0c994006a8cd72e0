"""Findings of the rule packs that are right to have."""

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
