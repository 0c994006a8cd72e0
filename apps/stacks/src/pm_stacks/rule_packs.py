"""What auditors ask of every template: three rule packs, as validations that fail the synthesis."""

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks, NIST80053R5Checks, PCIDSS321Checks


def add_rule_packs(app: cdk.App) -> None:
    """Check every stack of ``app`` against AWS Solutions, PCI DSS 3.2.1 and NIST 800-53 revision 5.

    A finding that is right to have is acknowledged at the construct that has it, with the reason.
    """
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app), PCIDSS321Checks(app), NIST80053R5Checks(app))
