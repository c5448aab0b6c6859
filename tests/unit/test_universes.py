"""Universes: what is accepted, and what is refused before it can reach a path or a broker."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.errors import ConfigError, SymbolNameError
from toto_ops.universes import CsvSource, Limits, SampleSource, checked_symbol, load_universes

CONFIG = PROJECT_ROOT / "deploy" / "config"


def settings_with(tmp_path: Path, change: dict[str, Any], env_overlay: dict[str, Any] | None = None) -> Settings:
    content = yaml.safe_load((CONFIG / "universes.yaml").read_text())
    content["universes"]["crypto"].update(change)
    (tmp_path / "universes.yaml").write_text(yaml.safe_dump(content))
    if env_overlay is not None:
        (tmp_path / "env").mkdir()
        (tmp_path / "env" / "test.yaml").write_text(yaml.safe_dump(env_overlay))
    return Settings(config_dir=tmp_path, env="local" if env_overlay is None else "test")


def test_the_bundled_universes_load() -> None:
    file = load_universes(Settings(env="local"))
    assert {name: universe.symbols for name, universe in file.universes.items()} == {
        "stocks": None,
        "crypto": None,
        "multi": None,
    }
    assert set(file.universe("multi").parts) == {"stocks", "crypto"}
    assert file.universe("crypto").costs.rate == pytest.approx(0.0015)
    assert file.sensors_default_status == "stopped"
    assert load_universes(Settings(env="prod")).sensors_default_status == "running"


@pytest.mark.parametrize("name", ["../x", "A/B", "", ".HIDDEN", "A..B", "X" * 25, "A B", "A\x00B", "Ü", "-A", "A\n"])
def test_a_name_that_must_not_reach_a_path_is_refused(name: str) -> None:
    with pytest.raises(SymbolNameError, match="is not a symbol"):
        checked_symbol(name)


def test_symbols_are_upper_cased() -> None:
    assert checked_symbol("brk.b") == "BRK.B"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"typo": 1}, "`universes.crypto.typo` is unknown"),
        ({"capital": 0}, "`universes.crypto.capital`: Input should be greater than or equal to 0.000001"),
        ({"capital": 1e300}, "`universes.crypto.capital`: Input should be less than or equal to 1000000000000000"),
        ({"capital": float("nan")}, "is not a finite number"),
        ({"symbols": ["../x"]}, "is not a symbol"),
        ({"symbols": ["btcusd", "BTCUSD"]}, "collides"),
        ({"symbols": []}, "non-empty"),
        ({"symbols": ["BTCUSD", "BTCUSD"]}, "is there already"),
        ({"symbols": [True, "BTCUSD"]}, "in quotes"),  # what YAML makes of the ticker ON
        ({"symbols": [448]}, "in quotes"),  # and of 0700
        ({"symbols": [["BTCUSD"]]}, "is not text"),
        ({"name": "other"}, "named by its key"),
        ({"source": {"kind": "csv", "folder": "bars", "timezone": "Mars/Olympus"}}, "IANA"),
        ({"bar": "7h"}, "do not tile a day"),
        ({"bar": "2d"}, "do not tile a day"),
        ({"cadence": "every full moon"}, "cron"),
        ({"cadence": "99 6 1 * *"}, "cron"),
        ({"cadence": "@monthly"}, "cron"),
        ({"cadence": "0 0 30 2 *"}, "never comes"),
        ({"costs": {"commission": -0.1}}, "`universes.crypto.costs.commission`"),
        ({"costs": {"commission": 1.0}}, "`universes.crypto.costs`"),  # a sale would bring less than nothing
        ({"costs": {"commission": 0.2, "half_spread": 0.2, "slippage": 0.1}}, "come to 0.5 of what is traded"),
        ({"symbols": {"BTCUSD": {"from": "2020-01-02", "to": "2020-01-01"}}}, "before it begins"),
        ({"source": {"kind": "ftp"}}, "`universes.crypto.source`"),
        ({"bar": "1 fortnight"}, "`universes.crypto.bar`"),
        ({"limits": {"max_drawdown": 0}}, "`universes.crypto.limits.max_drawdown`"),  # never trading is not "no breaker"
        ({"limits": {"stop_loss": 0}}, "`universes.crypto.limits.stop_loss`"),
        ({"limits": {"bankruptcy_floor": 1}}, "`universes.crypto.limits.bankruptcy_floor`"),
    ],
)
def test_a_bad_entry_names_file_key_and_remedy(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match="Remedy") as caught:
        load_universes(settings_with(tmp_path, change))
    assert says in str(caught.value)
    assert "universes.yaml" in str(caught.value)


def test_a_relative_folder_is_the_same_for_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with(tmp_path, {"source": {"kind": "csv", "folder": "bars", "sentiment_folder": "~/news"}})
    monkeypatch.chdir(tmp_path)
    source = load_universes(settings).universe("crypto").source
    assert isinstance(source, CsvSource)
    assert source.folder == PROJECT_ROOT / "bars"
    assert source.sentiment_folder == Path.home() / "news"


def test_the_folder_beside_the_sample_is_in_the_project_wherever_that_lies() -> None:
    source = load_universes(Settings()).universe("crypto").source
    assert isinstance(source, SampleSource)
    assert source.added == Path("deploy/bars/crypto"), "as configured: hashes of a configuration must not hold local paths"
    assert source.added_folder == PROJECT_ROOT / "deploy" / "bars" / "crypto"


def test_an_environment_overlays_the_base(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, {}, {"universes": {"crypto": {"minimum_coverage": 0.9}}})
    universes = load_universes(settings)
    assert universes.universe("crypto").minimum_coverage == 0.9
    assert universes.universe("crypto").calendar == "24/7"


def test_an_environment_whose_overlay_is_missing_is_an_error(tmp_path: Path) -> None:
    settings_with(tmp_path, {})
    with pytest.raises(ConfigError, match=r"prod\.yaml"):
        load_universes(Settings(config_dir=tmp_path, env="prod"))


def test_an_unknown_universe_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="crypto, multi, stocks"):
        load_universes(Settings()).universe("bonds")


def test_w_max_is_the_smaller_of_symbol_cap_and_even_share_of_the_gross_limit() -> None:
    assert Limits(symbol_cap=0.25, gross_leverage=2.0, max_positions=10).w_max == pytest.approx(0.2)
    assert Limits(symbol_cap=0.1, gross_leverage=2.0, max_positions=10).w_max == pytest.approx(0.1)


def test_an_error_reads_as_sentences() -> None:
    assert str(ConfigError("is odd", where="some.yaml", remedy="mend it")) == "some.yaml: is odd. Remedy: mend it"
    assert str(ConfigError("is odd.", remedy="mend it")) == "is odd. Remedy: mend it"
    assert str(ConfigError("is odd")) == "is odd"
