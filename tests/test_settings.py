from pathlib import Path

import pytest

from geo_service.errors import InvalidInputError
from geo_service.settings import Settings, read_settings


def test_the_command_line_wins_over_the_environment_and_that_over_the_defaults():
    settings = read_settings({"GEO_PORT": "9000", "GEO_PREFIX": "a:", "GEO_DATA": "/x"}, {"prefix": "b:", "site": None})
    assert (settings.port, settings.prefix, settings.data, settings.host) == (9000, "b:", Path("/x"), "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "value"),
    [("GEO_PORT", "eighty"), ("GEO_PRESENCE", "loose"), ("GEO_PARTITIONS", "0"), ("GEO_LOG_LEVEL", "x")],
)
def test_a_value_that_does_not_fit_is_refused(name, value):
    with pytest.raises(InvalidInputError):
        read_settings({name: value}, {})


def test_assumed_consents_are_purposes():
    assert Settings().assumed == {"location", "offers"}
    assert Settings(consent="none").assumed == frozenset()
    assert Settings(consent=" offers , analytics ").assumed == {"offers", "analytics"}
    with pytest.raises(InvalidInputError, match="'sales' is none of"):
        _ = Settings(consent="offers,sales").assumed
