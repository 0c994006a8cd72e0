import pytest

from pm_payments import Settings, SettingsError

GIVEN = {"PM_ENVIRONMENT": "source", "PM_CANDIDATES": "source=arn:aws:one,target=arn:aws:two"}


def test_defaults_listen_on_8080_and_verify_the_database():
    settings = Settings.from_environment(GIVEN)
    assert settings.candidates == (("source", "arn:aws:one"), ("target", "arn:aws:two"))
    assert (settings.bind, settings.port, settings.ssl_mode) == ("0.0.0.0", 8080, "verify-full")  # noqa: S104 - compared


def test_every_variable_is_used():
    settings = Settings.from_environment({**GIVEN, "PM_BIND": "127.0.0.1", "PORT": "9000", "PM_SSL_MODE": "prefer"})
    assert (settings.bind, settings.port, settings.ssl_mode) == ("127.0.0.1", 9000, "prefer")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PM_ENVIRONMENT", "staging"),
        ("PM_ENVIRONMENT", ""),
        ("PM_CANDIDATES", ""),
        ("PM_CANDIDATES", "source"),
        ("PM_CANDIDATES", "source=a,source=b"),
        ("PM_CANDIDATES", "source=a,"),
        ("PORT", "0"),
        ("PORT", "http"),
        ("PORT", "65536"),
    ],
)
def test_wrong_variables_are_named(name: str, value: str):
    with pytest.raises(SettingsError, match=f"{name} is '{value}': allowed "):
        Settings.from_environment({**GIVEN, name: value})
