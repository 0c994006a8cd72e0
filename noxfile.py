"""What this repository can do; `nox -l` lists it, a plain `nox` runs what a contribution needs.

Arguments of a session come after two dashes: `nox -s deploy -- data-source`, `nox -s deploy -- --help`.
"""

import os
import signal
import tomllib
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.error_on_external_run = True
nox.options.stop_on_first_error = True

# Tests send Ctrl-C to what they start, which would be deaf to it where a script runs nox in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent
SCRATCH = ROOT / ".nox"
MEMBERS = {
    tomllib.loads(file.read_text())["project"]["name"]: file.parent.relative_to(ROOT)
    for file in sorted([*ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("apps/*/pyproject.toml")])
}
RESOLUTIONS = ("highest", "lowest")
# Files beside each other, in their order: they share nothing but the machine. Three on two cores, for many wait.
PARALLEL = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")
nox.options.sessions = [
    *("lint", "types", "imports", "synth"),
    *(f"tests-{name}(highest)" for name in MEMBERS),  # with (lowest), too, before a release
    "integration",
]


def run(session: nox.Session, *command: str | Path, **variables: str) -> None:
    session.run(*map(str, command), env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **variables}, external=True)


def no_arguments(session: nox.Session) -> None:
    if session.posargs:
        session.error(f"{session.name} takes no arguments, found {' '.join(session.posargs)}: see nox -l")


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting of all Python code."""
    no_arguments(session)
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Static types, strict."""
    no_arguments(session)
    modules = sorted(directory.name for path in MEMBERS.values() for directory in (ROOT / path / "src").iterdir())
    run(session, "mypy", "--num-workers", "2", *(argument for module in modules for argument in ("-p", module)))
    run(session, "mypy", "noxfile.py", "apps/benchmark.py")
    run(session, "mypy", "tests_integration", MYPYPATH="tests_integration")


@nox.session
def imports(session: nox.Session) -> None:
    """The boundaries between packages."""
    no_arguments(session)
    run(session, "lint-imports")


@nox.session
def synth(session: nox.Session) -> None:
    """Every template: synthesized without an account, then cfn-lint with zero errors and warnings."""
    no_arguments(session)
    run(session, "cdk", "--no-notices", "synth", "--quiet")
    templates = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "cdk.out").glob("*.template.json"))
    run(session, "cfn-lint", *templates)


_wheels: dict[str, Path] = {}


def built_wheels(session: nox.Session) -> dict[str, Path]:
    """The wheel of every package, built once in a run."""
    if not _wheels:
        directory = SCRATCH / "wheels"
        run(session, "uv", "build", "--quiet", "--clear", "--all-packages", "--wheel", "--out-dir", directory)
        _wheels.update({name: next(directory.glob(f"{name.replace('-', '_')}-*.whl")) for name in MEMBERS})
    return _wheels


def needs(name: str) -> list[str]:
    """The packages of ours in the environment of another one's tests, that one first."""
    found = [name]
    for member in found:
        document = tomllib.loads((ROOT / MEMBERS[member] / "pyproject.toml").read_text())
        found += [one for one in document["tool"].get("uv", {}).get("sources", {}) if one not in found]
    return found


def _add_tests(name: str, path: Path) -> None:
    @nox.session(name=f"tests-{name}")
    @nox.parametrize("resolution", RESOLUTIONS, ids=RESOLUTIONS)
    def tests(session: nox.Session, resolution: str) -> None:
        # One place for all packages, made anew for each: bytecode, kept aside by path, is compiled once.
        environment = SCRATCH / resolution
        wheels = built_wheels(session)
        project = ROOT / path / "pyproject.toml"
        if resolution == "lowest":
            versions: list[str | Path] = ["--resolution", "lowest-direct"]
        else:
            locked = SCRATCH / f"{name}.txt"
            run(
                session,
                *("uv", "export", "--quiet", "--frozen", "--package", name, "--group", "test"),
                *("--no-emit-workspace", "--no-hashes", "--output-file", locked),
            )
            versions = ["--constraints", locked]
        run(session, "uv", "venv", "--quiet", "--clear", environment)
        install = ("uv", "pip", "install", "--quiet", "--no-compile-bytecode", "--no-sources", "--python", environment)
        run(session, *install, *versions, "--group", f"{project}:test", *(wheels[one] for one in needs(name)))
        several = PARALLEL if "pytest-xdist" in project.read_text() else ()
        command = (environment / "bin" / "python", "-m", "pytest", *several, path, *session.posargs)
        # CloudFormation's validation costs half of the time here; whole templates get it, in synth and integration.
        run(session, *command, PYTHONPYCACHEPREFIX=str(SCRATCH / "bytecode"), CDK_VALIDATION="false")

    tests.__doc__ = f"{name}'s tests, on its wheel, with only what it declares: as in uv.lock, or as low as it allows."


for _name, _path in MEMBERS.items():
    _add_tests(_name, _path)


@nox.session
def integration(session: nox.Session) -> None:
    """The real CDK CLI, the embedded AWS, real PostgreSQL and one short rehearsal. Arguments go to pytest."""
    if session.posargs:
        run(session, "pytest", *session.posargs)
        return
    # The rehearsal by itself: it pays 200 times a second, and no other test should be what it waits for.
    run(session, "pytest", "tests_integration/test_rehearsal.py")
    # CloudFormation's validation is 40 % of a synthesis. The rehearsal has it; these ask for it; the others do without.
    run(session, "pytest", "-n", "2", "tests_integration/test_rule_packs.py")
    apart = ("rehearsal", "rule_packs")
    others = (*(f"--ignore=tests_integration/test_{name}.py" for name in apart), "--durations", "20")
    run(session, "pytest", *PARALLEL, *others, "tests_integration", CDK_VALIDATION="false")


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Every link, anchor and command in the documentation."""
    run(session, "pytest", "tests_integration/test_docs.py", *session.posargs)


@nox.session(default=False)
def rehearsal(session: nox.Session) -> None:
    """`pm rehearse`: the whole migration on this machine. Options: nox -s rehearsal -- --help."""
    run(session, "pm", "rehearse", *session.posargs)


@nox.session(default=False)
def deploy(session: nox.Session) -> None:
    """One stack, from this tree or a release: nox -s deploy -- data-source [--version 1.2.0] [--suffix x] [--yes]."""
    run(session, "python", "-m", "pm_delivery", "deploy", *session.posargs)


@nox.session(default=False)
def rollback(session: nox.Session) -> None:
    """One stack back to the version it was deployed from before: nox -s rollback -- compute-target [--list] [--yes]."""
    run(session, "python", "-m", "pm_delivery", "rollback", *session.posargs)


@nox.session(default=False)
def destroy(session: nox.Session) -> None:
    """One stack, or all of them: nox -s destroy -- traffic-target | --all [--suffix x] [--yes]."""
    run(session, "python", "-m", "pm_delivery", "destroy", *session.posargs)


@nox.session(default=False)
def release(session: nox.Session) -> None:
    """One package: nox -s release -- pm-data major|minor|patch|first [--dry-run]. See docs/releasing.md."""
    run(session, "python", "-m", "pm_delivery", "release", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Times that are worth knowing, measured in turns: synthesis of everything and of one tier. Not part of CI."""
    run(session, "python", "apps/benchmark.py", *session.posargs)
