from pathlib import Path

import pytest
from aws_cdk import aws_lambda as lambda_

from pm_core.cdk import PackagingError, function_code
from pm_core.cdk.packaging import PYTHON_VERSION


def test_requirements_are_those_of_the_python_that_functions_run_on():
    assert lambda_.Runtime.PYTHON_3_14.name == f"python{PYTHON_VERSION}"


def test_what_a_vendored_package_requires_goes_along(tmp_path: Path):
    (tmp_path / "module.py").touch()
    with function_code(tmp_path, ("typing-inspection",)) as code:
        assert {"typing_inspection", "typing_extensions.py"} <= {path.name for path in code.iterdir()}


def test_a_requirement_that_is_compiled_is_named(tmp_path: Path):
    with (
        pytest.raises(PackagingError, match="pydantic_core has the compiled part"),
        function_code(tmp_path, ("pydantic",)),
    ):
        pass
