"""Specialists at work: who answers for which symbol, and what is stored of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.unit.forecasting.specialists.specialist_samples import (
    CONFIG,
    SPANS,
    forecaster_of,
    states_of,
    trending,
    wandering,
)
from toto_ops.errors import StorageError
from toto_ops.forecasting.scaling import CausalScale
from toto_ops.forecasting.series import CLOSE, stacked
from toto_ops.forecasting.specialists.files import (
    MANIFEST,
    WEIGHTS,
    load_specialists,
    read_specialists_manifest,
    save_specialists,
)
from toto_ops.forecasting.specialists.fitting import fit_specialists
from toto_ops.forecasting.specialists.specialists import Specialists

FORECASTER = forecaster_of()
RISES, WALKS, FALLS = trending("RISES", seed=1), wandering("WALKS", seed=3), trending("FALLS", 250, seed=2, drift=-0.03)
COLUMNS = [horizon - 1 for horizon in CONFIG.horizons]


@pytest.fixture(scope="module")
def specialists() -> Specialists:
    made = fit_specialists(FORECASTER, (RISES, WALKS, FALLS), SPANS, CONFIG, 0)
    assert made.manifest.kept == ("RISES", "FALLS")
    return made


@pytest.fixture(scope="module")
def states() -> torch.Tensor:
    return states_of(FORECASTER, [RISES, WALKS, FALLS])


@pytest.fixture
def generic(states: torch.Tensor) -> torch.Tensor:
    return FORECASTER.head(states).detach()


def test_symbols_without_a_specialist_are_the_generic_forecasters(
    specialists: Specialists, states: torch.Tensor, generic: torch.Tensor
) -> None:
    said = specialists.quantiles(states, ["WALKS", "UNHEARD_OF", "WALKS"])
    torch.testing.assert_close(said, generic, equal_nan=True, rtol=0, atol=0)


def test_specialists_speak_of_the_close_over_their_horizons_and_of_nothing_else(
    specialists: Specialists, states: torch.Tensor, generic: torch.Tensor
) -> None:
    said = specialists.quantiles(states, ["RISES", "WALKS", "FALLS"])
    own = torch.zeros(generic.shape[2:], dtype=torch.bool)
    own[CLOSE, COLUMNS] = True
    torch.testing.assert_close(said[:, :, ~own], generic[:, :, ~own], equal_nan=True, rtol=0, atol=0)
    torch.testing.assert_close(said[1], generic[1], equal_nan=True, rtol=0, atol=0)
    change = (said - generic)[:, 200:240, CLOSE][:, :, COLUMNS, 4].mean(dim=(1, 2))
    assert change[0] > 0.3
    assert change[2] < -0.3


def test_each_row_is_answered_as_if_it_were_asked_alone(specialists: Specialists, states: torch.Tensor) -> None:
    asked = ["FALLS", "RISES", "FALLS", "WALKS", "RISES"]
    rows = states[[2, 0, 0, 1, 1]]
    together = specialists.quantiles(rows, asked)
    for row, symbol in enumerate(asked):
        alone = specialists.quantiles(rows[row : row + 1], [symbol])
        torch.testing.assert_close(together[row : row + 1], alone, equal_nan=True, rtol=1e-5, atol=1e-5)


def test_there_is_no_forecast_where_there_is_no_state(specialists: Specialists, states: torch.Tensor) -> None:
    said = specialists.quantiles(states, ["RISES", "WALKS", "FALLS"])
    unknown = torch.isnan(states).any(dim=-1)
    assert unknown[:, :35].all()
    assert unknown[2, 250:].all()
    assert torch.equal(torch.isnan(said).flatten(2).all(dim=-1), unknown)
    assert torch.equal(torch.isnan(said).flatten(2).any(dim=-1), unknown)


def test_a_forecast_does_not_depend_on_bars_to_come(specialists: Specialists, states: torch.Tensor) -> None:
    whole = specialists.quantiles(states[:1], ["RISES"])
    early = specialists.quantiles(states_of(FORECASTER, [RISES.take(slice(0, 120))]), ["RISES"])
    torch.testing.assert_close(early, whole[:, :120], equal_nan=True, rtol=1e-4, atol=1e-5)


def test_the_generic_forecaster_is_asked_likewise_and_says_the_same_of_every_symbol(states: torch.Tensor) -> None:
    said = FORECASTER.quantiles(states, ["RISES", "WALKS", "FALLS"])
    torch.testing.assert_close(said, FORECASTER.head(states), equal_nan=True)
    torch.testing.assert_close(said, FORECASTER.quantiles(states, ["FALLS", "FALLS", "NOBODY"]), equal_nan=True)


def test_returns_are_forecast_as_by_the_generic_forecaster(specialists: Specialists, states: torch.Tensor) -> None:
    scale, symbols = CausalScale.of(stacked([RISES, WALKS, FALLS])), ["RISES", "WALKS", "FALLS"]
    said, generic = (scale.returns(one.quantiles(states, symbols), CONFIG.horizons) for one in (specialists, FORECASTER))
    assert said.shape == (3, 300, len(CONFIG.horizons), 9)
    torch.testing.assert_close(said[1], generic[1], equal_nan=True)
    assert (said[0, 200:250, 0, 4] > generic[0, 200:250, 0, 4]).all()


def test_states_and_symbols_must_be_as_many(specialists: Specialists, states: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="3 series were given for 1 symbols"):
        specialists.quantiles(states, ["RISES"])


def test_what_is_stored_comes_back(specialists: Specialists, states: torch.Tensor, tmp_path: Path) -> None:
    save_specialists(specialists, tmp_path)
    back = load_specialists(tmp_path, FORECASTER)
    assert back.manifest == specialists.manifest
    assert back.identity == specialists.identity
    symbols = ["RISES", "WALKS", "FALLS"]
    torch.testing.assert_close(
        back.quantiles(states, symbols), specialists.quantiles(states, symbols), equal_nan=True, rtol=0, atol=0
    )


def test_a_universe_that_kept_none_is_stored_too(tmp_path: Path) -> None:
    none = fit_specialists(FORECASTER, (WALKS,), SPANS, CONFIG, 0)
    save_specialists(none, tmp_path)
    assert load_specialists(tmp_path, FORECASTER).table == none.table


def test_the_identity_changes_with_the_forecaster_and_with_whose_adapters_they_are(specialists: Specialists) -> None:
    table = specialists.table
    renamed = specialists.manifest.model_copy(update={"table": (table[0].model_copy(update={"symbol": "OTHER"}), *table[1:])})
    others = (
        Specialists(forecaster_of(seed=1), specialists.adapters, specialists.manifest),
        Specialists(FORECASTER, specialists.adapters, renamed),
    )
    assert len({specialists.identity, *(other.identity for other in others)}) == 3


def test_specialists_of_another_forecaster_are_not_loaded(specialists: Specialists, tmp_path: Path) -> None:
    save_specialists(specialists, tmp_path)
    with pytest.raises(StorageError, match=r"adapt forecaster \w+, and this one is \w+") as caught:
        load_specialists(tmp_path, forecaster_of(seed=1))
    assert caught.value.remedy


def _cut_short(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-40])


def _without_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def _one_row_dropped(folder: Path) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    content["table"] = [row for row in content["table"] if row["symbol"] != "RISES"]
    (folder / MANIFEST).write_text(json.dumps(content))


def _other_version(folder: Path) -> None:
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**content, "schema_version": 9}))


def _without_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


@pytest.mark.parametrize("damage", [_cut_short, _without_weights, _one_row_dropped, _other_version, _without_manifest])
def test_damage_is_named(damage: Callable[[Path], None], specialists: Specialists, tmp_path: Path) -> None:
    save_specialists(specialists, tmp_path)
    damage(tmp_path)
    with pytest.raises(StorageError, match="specialists") as caught:
        load_specialists(tmp_path, FORECASTER)
    assert caught.value.where.startswith(str(tmp_path))
    assert caught.value.remedy == "fit them again"


def test_the_table_can_be_read_without_the_forecaster(specialists: Specialists, tmp_path: Path) -> None:
    save_specialists(specialists, tmp_path)
    assert read_specialists_manifest(tmp_path).table == specialists.table


def test_adapters_must_be_those_of_the_table(specialists: Specialists) -> None:
    fewer = specialists.manifest.model_copy(update={"table": specialists.table[1:]})
    with pytest.raises(ValueError, match="1 specialists were kept, and there are adapters of 2"):
        Specialists(FORECASTER, specialists.adapters, fewer)
