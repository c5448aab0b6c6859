"""An alert arrives whole, or its channel says why not without giving a secret away."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.unit.monitoring.alert_servers import ChatServer, MailServer, chat_server, mail_server, write_certificate
from toto_ops.errors import AlertError, ConfigError
from toto_ops.monitoring.alert_channels import EmailChannel, WebhookChannel, open_channel
from toto_ops.monitoring.alert_config import AlertsConfig, AlertSecrets, EmailConfig, WebhookConfig
from toto_ops.monitoring.alerts import Alert

ALERT = Alert(
    kind="promotion",
    universe="crypto",
    at=datetime(2024, 2, 1, 6, 5, tzinfo=UTC),
    title="crypto: version 4 was promoted and serves instead of version 2",
    details="Asked for by anna@desk: Sharpe 1.8 & <!channel> calm",
)


@pytest.fixture
def chat() -> Iterator[ChatServer]:
    with chat_server() as server:
        yield server


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


def webhook(url: str, timeout: float = 5) -> WebhookChannel:
    return WebhookChannel(SecretStr(url), timeout)


def plain_email(port: int, **changes: object) -> EmailChannel:
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "starttls": False,
        "sender": "toto@desk",
        "recipients": ("anna@desk", "ben@desk"),
    }
    return EmailChannel(EmailConfig(enabled=True, **{**settings, **changes}))  # type: ignore[arg-type]


def test_a_webhook_is_posted_slacks_json(chat: ChatServer) -> None:
    assert webhook(chat.url).send(ALERT) == ""
    (text,) = chat.texts
    assert text.splitlines() == [
        "*crypto: version 4 was promoted and serves instead of version 2*",
        "2024-02-01 06:05 UTC",
        "Asked for by anna@desk: Sharpe 1.8 &amp; &lt;!channel&gt; calm",
    ], "what an error quotes must not call everybody in the channel"


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_does_not_take_it_is_an_error_without_the_address(chat: ChatServer, status: int) -> None:
    chat.status = status
    with pytest.raises(AlertError, match=f"127.0.0.1: the webhook answered {status}") as caught:
        webhook(chat.url).send(ALERT)
    assert "s3cret" not in str(caught.value)


def test_a_webhook_that_cannot_be_reached_is_an_error_without_the_address(chat: ChatServer) -> None:
    closed = chat.url.replace(chat.url.split(":")[2].split("/")[0], "1")
    with pytest.raises(AlertError, match=r"did not answer \(ConnectionError\)") as caught:
        webhook(closed).send(ALERT)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__, "a traceback would quote the address"


def test_a_webhook_that_stays_silent_is_not_waited_for(chat: ChatServer) -> None:
    chat.silent.set()
    began = time.monotonic()
    with pytest.raises(AlertError, match="ReadTimeout"):
        webhook(chat.url, timeout=0.3).send(ALERT)
    assert time.monotonic() - began < 3


def test_a_mail_says_it_all(mail: MailServer) -> None:
    assert plain_email(mail.port).send(ALERT) == ""
    (message,) = mail.messages
    assert message["Subject"] == f"[toto-ops] {ALERT.title}"
    assert (message["From"], message["To"]) == ("toto@desk", "anna@desk, ben@desk")
    assert mail.recipients == [["anna@desk", "ben@desk"]]
    assert message.get_content().splitlines() == ALERT.text.splitlines()


def test_mail_goes_encrypted_and_signed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = write_certificate(tmp_path / "server.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(certificate) as mail:
        config = plain_email(mail.port, starttls=True).config
        EmailChannel(config, SecretStr("trader"), SecretStr("pass")).send(ALERT)
        assert (mail.encrypted, mail.accounts) == ([True], [b"trader"])
        with pytest.raises(AlertError, match="SMTPAuthenticationError") as caught:
            EmailChannel(config, SecretStr("trader"), SecretStr("wr0ng")).send(ALERT)
        assert "wr0ng" not in str(caught.value)


def test_mail_is_not_entrusted_to_a_stranger(tmp_path: Path) -> None:
    with mail_server(write_certificate(tmp_path / "server.pem")) as mail:
        with pytest.raises(AlertError, match="SSLCertVerificationError"):
            plain_email(mail.port, starttls=True).send(ALERT)
        assert mail.messages == []


def test_mail_is_not_sent_in_the_open_unless_allowed(mail: MailServer) -> None:
    with pytest.raises(AlertError, match="SMTPNotSupportedError"):
        plain_email(mail.port, starttls=True).send(ALERT)
    assert mail.messages == []


def test_a_mail_server_that_is_down_is_an_error(mail: MailServer) -> None:
    mail.down = True
    with pytest.raises(AlertError, match="try again later"):
        plain_email(mail.port).send(ALERT)
    with pytest.raises(AlertError, match=r"127\.0\.0\.1:1: .*ConnectionRefusedError"):
        plain_email(1).send(ALERT)


def test_one_unknown_recipient_does_not_keep_the_others_from_it(mail: MailServer) -> None:
    mail.unknown = {"ben@desk"}
    assert "refused ben@desk" in plain_email(mail.port).send(ALERT)
    assert mail.recipients == [["anna@desk"]]
    mail.unknown = {"anna@desk", "ben@desk"}
    with pytest.raises(AlertError, match="SMTPRecipientsRefused"):
        plain_email(mail.port).send(ALERT)


def test_what_is_off_is_not_opened() -> None:
    secrets = AlertSecrets(webhook_url=SecretStr("https://chat.example/x"))
    assert open_channel("webhook", AlertsConfig(), secrets) is None
    assert open_channel("email", AlertsConfig(), secrets) is None


def test_a_channel_without_its_secret_says_which() -> None:
    on = AlertsConfig(webhook=WebhookConfig(enabled=True))
    with pytest.raises(ConfigError, match="set TOTO_ALERT_WEBHOOK_URL"):
        open_channel("webhook", on, AlertSecrets())


def test_a_password_never_travels_in_the_open() -> None:
    open_mail = EmailConfig(enabled=True, sender="a@b", recipients=("c@d",), starttls=False)
    secrets = AlertSecrets(smtp_user=SecretStr("trader"), smtp_password=SecretStr("pass"))
    with pytest.raises(ConfigError, match="unencrypted"):
        open_channel("email", AlertsConfig(email=open_mail), secrets)
