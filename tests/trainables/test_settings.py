import re

import pytest

from trainables.checks import ConfigError
from trainables.settings import read_settings


def test_read_settings_types_values_and_widens() -> None:
    trial, evaluation = read_settings(["gamma=30,100", "steps=9", "noise_seed=none", "probe_rows=50"])
    assert trial == {"gamma": [30.0, 100.0], "steps": [9], "noise_seed": [None]}
    assert evaluation == {"probe_rows": 50}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gamma", "is not of the form key=value"),
        ("gama=3", "unknown key 'gama'; did you mean gamma"),
        ("gamma=much", "gamma='much' is not of type float"),
        ("steps=1.5", "steps='1.5' is not of type int; give one such value"),
    ],
)
def test_read_settings_refuses(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        read_settings([text])


def test_a_key_that_is_set_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="gamma is set twice; give several values as --set gamma=VALUE,VALUE"):
        read_settings(["gamma=30", "gamma=100"])
