"""The checks of this repository; `nox -l` lists them, a plain `nox` runs what a landing needs."""

import os
import tomllib
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.error_on_external_run = True
nox.options.stop_on_first_error = True

ROOT = Path(__file__).parent
MEMBERS = {
    tomllib.loads(file.read_text())["project"]["name"]: file.parent.relative_to(ROOT)
    for file in sorted([*ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("apps/*/pyproject.toml")])
}
TESTED = {name: path for name, path in MEMBERS.items() if any((ROOT / path / "tests").glob("test_*.py"))}
# Bytecode is compiled where it is first needed: compiling whole environments costs more than the tests that use them.
ISOLATED = {"UV_COMPILE_BYTECODE": "0", "PYTHONDONTWRITEBYTECODE": ""}
nox.options.sessions = ["lint", "types", "imports", "synth", *(f"tests-{name}" for name in TESTED), "integration"]


def uv(session: nox.Session, *arguments: str) -> None:
    session.run("uv", *arguments, env={**os.environ, **ISOLATED}, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting of all Python code."""
    uv(session, "run", "ruff", "check", ".")
    uv(session, "run", "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Static types, strict."""
    modules = sorted(directory.name for path in MEMBERS.values() for directory in (ROOT / path / "src").iterdir())
    uv(session, "run", "mypy", *(argument for module in modules for argument in ("-p", module)))
    uv(session, "run", "mypy", "noxfile.py", "apps/synth.py", "apps/benchmark.py")


@nox.session
def imports(session: nox.Session) -> None:
    """The boundaries between packages."""
    uv(session, "run", "lint-imports")


@nox.session
def synth(session: nox.Session) -> None:
    """Every template: synthesized without an account, then cfn-lint with zero errors and warnings."""
    uv(session, "run", "cdk", "--no-notices", "synth", "--quiet")
    templates = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "cdk.out").glob("*.template.json"))
    uv(session, "run", "cfn-lint", *templates)


def _add_tests(name: str, path: Path) -> None:
    @nox.session(name=f"tests-{name}")
    def tests(session: nox.Session) -> None:
        uv(
            session,
            *("run", "--isolated", "--exact", "--no-dev", "--package", name, "--group", "test"),
            *("pytest", str(path), *session.posargs),
        )

    tests.__doc__ = f"Unit tests of {name}, in an environment with its declared dependencies only."


for _name, _path in TESTED.items():
    _add_tests(_name, _path)


@nox.session
def integration(session: nox.Session) -> None:
    """The real CDK CLI, the embedded AWS, real PostgreSQL and one short rehearsal."""
    uv(session, "run", "pytest", "tests_integration", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Times that are worth knowing, measured in turns: synthesis of everything and of one tier. Not part of CI."""
    uv(session, "run", "python", "apps/benchmark.py", *session.posargs)
