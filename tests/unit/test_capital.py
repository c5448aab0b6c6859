"""Money an account may begin with."""

import pytest

from toto_ops.capital import checked_capital
from toto_ops.errors import ConfigError


@pytest.mark.parametrize("money", [0.0, -5.0, 1e300, float("nan"), float("inf")])
def test_money_no_account_can_begin_with_is_refused_where_no_file_says_it(money: float) -> None:
    with pytest.raises(ConfigError, match=r"no account begins with a capital of .* Remedy: give money from 1e-06 to 1e\+15"):
        checked_capital(money)


@pytest.mark.parametrize("money", [1e-6, 1.0, 1e15])
def test_money_of_any_currency_is_taken(money: float) -> None:
    assert checked_capital(money) == money
