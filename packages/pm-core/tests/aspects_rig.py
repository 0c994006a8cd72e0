"""Foreign resources under the aspects, and what these say of them."""

from typing import Any

import aws_cdk as cdk
from aws_cdk.assertions import Annotations, Match

from pm_core.cdk.aspects import apply_aspects

ANYTHING = Match.string_like_regexp(".*")
AT_REST, IN_TRANSIT = "is not encrypted", "lets data travel in clear text"
OUTLIVES, STAYS = "outlives its stack", "does not go with its stack"
DELETE = cdk.CfnDeletionPolicy.DELETE
Props = dict[str, Any]


def stack_of(kind: str, properties: Props, *others: tuple[str, Props], database_tls: bool = True) -> cdk.Stack:
    """A stack with one resource written as JSON, ``Foreign``, and others named ``Other1`` and so on."""
    stack = cdk.Stack(cdk.App(), "Stack")
    apply_aspects(stack, database_tls=database_tls)
    named = [("Foreign", kind, properties)]
    named += [(f"Other{number}", other, props) for number, (other, props) in enumerate(others, start=1)]
    for name, one, props in named:
        resource = cdk.CfnResource(stack, name, type=one, properties=props)
        resource.cfn_options.deletion_policy = resource.cfn_options.update_replace_policy = DELETE
    return stack


def errors_in(stack: cdk.Stack, construct: str = "/Stack/Foreign") -> list[str]:
    return [str(found.entry.data) for found in Annotations.from_stack(stack).find_error(construct, ANYTHING)]


def refusals(errors: list[str], phrase: str, kind: str) -> list[str]:
    return [error for error in errors if error.startswith(f"{kind} {phrase}: ")]
