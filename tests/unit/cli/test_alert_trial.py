"""`toto-ops admin test-alert`: every channel that is on is tried, and what did not work decides the exit code."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.monitoring.alert_servers import chat_server, mail_server
from toto_ops.cli import app

COMMAND = ["admin", "test-alert", "--json"]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOTO_CONFIG_DIR", str(tmp_path))
    return tmp_path / "alerts.yaml"


def test_every_channel_is_tried(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with chat_server() as chat, mail_server() as mail:
        email = {
            "enabled": True,
            "host": "127.0.0.1",
            "port": mail.port,
            "starttls": False,
            "sender": "a@b",
            "recipients": ["c@d"],
        }
        file.write_text(json.dumps({"webhook": {"enabled": True}, "email": email}))
        monkeypatch.setenv("TOTO_ALERT_WEBHOOK_URL", chat.url)
        answer = CliRunner().invoke(app, COMMAND)
        assert answer.exit_code == 0, answer.stdout
        assert [row["delivered"] for row in json.loads(answer.stdout)] == [True, True]
        assert (len(chat.posts), len(mail.messages)) == (1, 1)

        chat.status = 410
        answer = CliRunner().invoke(app, COMMAND)
        assert answer.exit_code == 1
        webhook, other = json.loads(answer.stdout)
        assert (webhook["delivered"], other["delivered"], len(mail.messages)) == (False, True, 2)
        assert "answered 410" in webhook["remark"]
        assert "s3cret" not in answer.stdout


def test_when_all_are_off_it_says_how_to_turn_one_on(file: Path) -> None:
    file.write_text("webhook: {enabled: false}")
    answer = CliRunner().invoke(app, COMMAND)
    assert answer.exit_code == 1
    told = json.loads(answer.stdout)
    assert told["problem"] == "every channel is off"
    assert "webhook.enabled" in told["remedy"]
