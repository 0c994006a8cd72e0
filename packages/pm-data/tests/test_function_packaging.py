"""What goes into the functions' asset."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from pm_core.cdk import PG8000, PackagingError, function_code
from pm_data.functions import FUNCTIONS


def test_handlers_import_with_nothing_but_the_asset_and_boto3(tmp_path: Path) -> None:
    # Lambda brings boto3 and its dependencies; a stand-in keeps the rest of this environment out.
    for name in ("boto3", "botocore"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "botocore" / "config.py").write_text("def Config(**_): ...")
    (tmp_path / "botocore" / "exceptions.py").write_text("class ClientError(Exception): ...")
    with function_code(FUNCTIONS, PG8000) as code:
        program = (
            f"import sys; sys.path[:0] = [{str(code)!r}, {str(tmp_path)!r}]; sys.dont_write_bytecode = True;"
            "from functions import database_roles; import pg8000, scramp;"
            "print(database_roles.handle, database_roles.scram_verifier('p'), pg8000.__file__)"
        )
        ran = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert str(code) in ran.stdout


def _content(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_the_same_installation_gives_the_same_asset() -> None:
    with function_code(FUNCTIONS, PG8000) as first, function_code(FUNCTIONS, PG8000) as second:
        assert _content(first) == _content(second)
        assert not [
            name for name in _content(first) if name.endswith((".pyc", "RECORD", "INSTALLER", "direct_url.json"))
        ]


def test_staging_is_gone_after_use() -> None:
    with function_code(FUNCTIONS, PG8000) as code:
        assert code.exists()
    assert not code.exists()


def test_a_missing_package_is_named() -> None:
    with (
        pytest.raises(PackagingError, match="no-such-package is not installed"),
        function_code(FUNCTIONS, ("no-such-package",)),
    ):
        pass


def test_a_compiled_package_is_refused() -> None:
    with pytest.raises(PackagingError, match="only pure Python"), function_code(FUNCTIONS, ("psycopg-binary",)):
        pass
