"""Some symbols of a panel are what they were in the whole of it."""

from dataclasses import fields

import numpy as np
import pytest

from tests.unit.serving.market_samples import panel
from toto_ops.errors import SymbolNameError
from toto_ops.features.panel_columns import panel_of_symbols


def test_columns_are_kept_in_the_order_of_the_panel() -> None:
    whole = panel()
    some = panel_of_symbols(whole, ("CCC", "AAA"))
    assert some.symbols == ("AAA", "CCC")
    for name in (field.name for field in fields(whole)):
        before, after = getattr(whole, name), getattr(some, name)
        if isinstance(before, np.ndarray) and before.ndim and name not in {"open_time", "close_time"}:
            columns = before[[0, 2]] if name == "ended" else before[:, [0, 2]]
            np.testing.assert_array_equal(after, columns, err_msg=name)
        else:
            assert np.array_equal(after, before) or name == "symbols", name


def test_a_symbol_that_is_not_there_is_named() -> None:
    with pytest.raises(SymbolNameError, match="XXX not in the panel"):
        panel_of_symbols(panel(), ("AAA", "XXX"))
