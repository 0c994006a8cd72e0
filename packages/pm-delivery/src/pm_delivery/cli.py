"""Arguments in, one action out, errors in one message: what the sessions deploy, rollback, destroy and release call."""

import sys
from pathlib import Path
from typing import Annotated

from botocore.exceptions import BotoCoreError
from cyclopts import App, CycloptsError, Parameter

from pm_core import SettingsError
from pm_core.cdk_cli import CdkMissingError, ProjectError, find_project
from pm_delivery.deploy import Delivery
from pm_delivery.errors import DeliveryError, RefusedError, UsageError
from pm_delivery.index import Index
from pm_delivery.project import Project
from pm_delivery.release import Bump, release

DIST = "dist"

app = App(name="nox -s", version_flags=[], help="Deliver single stacks and single packages.")

Suffix = Annotated[str | None, Parameter(help="Another environmentSuffix than cdk.json's.")]
SettingsFile = Annotated[
    Path | None, Parameter(env_var="PM_SETTINGS", help="TOML file with settings to lay over those of cdk.json.")
]
IndexPlace = Annotated[
    str | None,
    Parameter(
        env_var="PM_INDEX", help="Directory of wheels, or URL of a package index, with releases. Default: ./dist"
    ),
]
Yes = Annotated[bool, Parameter(negative="", help="Do not ask.")]
Everything = Annotated[bool, Parameter(name="--all", negative="", help="Every stack, in the order that they need.")]


@app.command(name="deploy")
def deploy_command(
    stack: Annotated[str, Parameter(show_default=False)] = "",
    /,
    *,
    version: Annotated[str | None, Parameter(help="A released version of its package; default: this tree.")] = None,
    suffix: Suffix = None,
    settings: SettingsFile = None,
    index: IndexPlace = None,
    everything: Everything = False,
    yes: Yes = False,
) -> None:
    """Deploy exactly one stack: show what would change, ask, and change it.

    Refused when another tier must be deployed first. Example: nox -s deploy -- data-source

    Args:
        stack: Which one, for example compute-target.
    """
    delivery = _delivery(suffix, settings, index, yes=yes)
    if everything:
        if stack or version is not None:
            raise UsageError("--all deploys every stack from this tree: give no stack and no --version with it")
        delivery.deploy_all()
    else:
        delivery.deploy(stack, version=version)


@app.command(name="rollback")
def rollback_command(
    stack: Annotated[str, Parameter(show_default=False)] = "",
    /,
    *,
    version: Annotated[
        str | None, Parameter(help="Back to an earlier deployment of this version; default: one back.")
    ] = None,
    show: Annotated[
        bool, Parameter(name="--list", negative="", help="Show the earlier deployments and change nothing.")
    ] = False,
    suffix: Suffix = None,
    settings: SettingsFile = None,
    index: IndexPlace = None,
    yes: Yes = False,
) -> None:
    """Put one stack back to the package version that it was made from before; nothing else is touched.

    Example: nox -s rollback -- compute-target

    Args:
        stack: Which one.
    """
    delivery = _delivery(suffix, settings, index, yes=yes)
    if show:
        for build in delivery.history(stack):
            others = ", ".join(f"{name} {found}" for name, found in build.versions.items() if name != build.package)
            print(f"{build.package} {build.version}  ({others})")
    else:
        delivery.roll_back(stack, version=version)


@app.command(name="destroy")
def destroy_command(
    stack: Annotated[str, Parameter(show_default=False)] = "",
    /,
    *,
    suffix: Suffix = None,
    settings: SettingsFile = None,
    everything: Everything = False,
    yes: Yes = False,
) -> None:
    """Destroy exactly one stack, and what it holds. Nothing is kept: no snapshot, no bucket.

    Example: nox -s destroy -- traffic-target

    Args:
        stack: Which one.
    """
    delivery = _delivery(suffix, settings, None, yes=yes)
    if everything:
        if stack:
            raise UsageError("--all destroys every stack: give no stack with it")
        delivery.destroy_all()
    else:
        delivery.destroy(stack)


@app.command(name="release")
def release_command(
    package: str,
    bump: Bump,
    /,
    *,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Print the plan, and every problem, and change nothing.")
    ] = False,
    untested: Annotated[
        bool, Parameter(negative="", help="Do not run the package's tests: they have passed for this commit elsewhere.")
    ] = False,
    output: Annotated[Path | None, Parameter(help="Where sdist and wheel go. Default: ./dist")] = None,
) -> None:
    """Release one package: check, raise its version, write its changelog, commit, tag, build.

    Example: nox -s release -- pm-data minor

    Args:
        package: Which one.
        bump: major, minor or patch; first releases the version that is written down, once.
    """
    root = find_project(Path.cwd())
    release(root, package, bump, output=output or root / DIST, dry_run=dry_run, untested=untested)


def main() -> None:
    """Run with this process's arguments and end it."""
    try:
        app(sys.argv[1:], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _fail(" ".join(str(error).split()) + " (--help lists what is allowed)", UsageError.exit_code)
    except DeliveryError as error:
        _fail(str(error), error.exit_code)
    except (SettingsError, ProjectError, CdkMissingError) as error:
        _fail(str(error), UsageError.exit_code)
    except BotoCoreError as error:
        _fail(f"AWS: {error}", DeliveryError.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted: CloudFormation goes on with what it began; run the same command again", 130)


def _delivery(suffix: str | None, settings: Path | None, index: str | None, *, yes: bool) -> Delivery:
    root = find_project(Path.cwd())
    return Delivery(
        project=Project.read(root, suffix=suffix, file=settings),
        index=Index(location=index or str(root / DIST)),
        confirm=(lambda question: print(f"{question} yes")) if yes else _ask,
    )


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody is here to answer: give --yes")
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise RefusedError("nothing was changed")


def _fail(message: str, code: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
