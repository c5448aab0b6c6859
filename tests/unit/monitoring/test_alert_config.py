"""alerts.yaml: everything off as shipped, faults named, secrets from the environment and never quoted."""

from pathlib import Path

import pytest

from toto_ops.configuration import PROJECT_ROOT
from toto_ops.errors import ConfigError
from toto_ops.monitoring.alert_config import AlertsConfig, load_alerts, read_secrets


def test_as_shipped_nobody_is_told() -> None:
    shipped = load_alerts(PROJECT_ROOT / "deploy" / "config")
    assert not shipped.webhook.enabled
    assert not shipped.email.enabled
    assert shipped == AlertsConfig(), "the file shows every default"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("webhook: {enabled: true, url: https://x}", "`webhook.url` is unknown"),
        ("send: [everything]", "`send.0`"),
        ("email: {enabled: true}", "needs `sender` and `recipients`"),
        ("email: {sender: nobody}", "is not an e-mail address"),
        ('email: {sender: "a@b\\nBcc: c@d"}', "is not an e-mail address"),
        ("webhook: {timeout_seconds: 300}", "`webhook.timeout_seconds`"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "alerts.yaml").write_text(text)
    with pytest.raises(ConfigError, match="Remedy") as caught:
        load_alerts(tmp_path)
    assert says in str(caught.value)


def test_a_file_that_is_gone_is_not_silence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_alerts(tmp_path)


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_secrets().webhook_url is None
    monkeypatch.setenv("TOTO_ALERT_WEBHOOK_URL", "https://hooks.example/services/s3cret")
    secrets = read_secrets()
    assert secrets.webhook_url is not None
    assert secrets.webhook_url.get_secret_value().endswith("s3cret")
    assert "s3cret" not in repr(secrets)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("TOTO_ALERT_WEBHOOK_URL", "hooks.example/s3cret", "TOTO_ALERT_WEBHOOK_URL is not an http or https address"),
        ("TOTO_ALERT_SMTP_PASSWORD", "s3cret", "belong together"),
    ],
)
def test_a_secret_that_does_not_fit_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=says) as caught:
        read_secrets()
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__
