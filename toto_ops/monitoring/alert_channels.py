"""The ways an alert reaches people: a Slack-compatible webhook and e-mail. What is not delivered is an error, always."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from toto_ops.errors import AlertError, ConfigError
from toto_ops.monitoring.alert_config import AlertsConfig, AlertSecrets, ChannelName, EmailConfig
from toto_ops.monitoring.alerts import Alert


class Channel(Protocol):
    """One way to reach people."""

    def send(self, alert: Alert) -> str:
        """Deliver one alert and return a remark worth reading, or nothing.

        Raises
        ------
        AlertError
            If nobody was reached; the message holds no secret.
        """
        ...


@dataclass(frozen=True)
class WebhookChannel:
    """Posts `{"text": …}`, which Slack, Mattermost and others take.

    Parameters
    ----------
    timeout_seconds
        To connect, and then between two bytes of the answer.
    """

    url: SecretStr
    timeout_seconds: float

    def send(self, alert: Alert) -> str:
        """Deliver one alert; whoever holds the address can post, so no error shows it."""
        import requests

        address = self.url.get_secret_value()
        host = str(urlsplit(address).hostname)
        try:
            # A redirect would repeat the post as a question, or send it to somebody else.
            with requests.post(
                address, json={"text": slack_text(alert)}, timeout=self.timeout_seconds, allow_redirects=False, stream=True
            ) as answer:
                status = answer.status_code
        except requests.RequestException as error:
            # Without its cause, which quotes the address.
            raise AlertError(
                f"the webhook did not answer ({type(error).__name__})",
                where=host,
                remedy="check TOTO_ALERT_WEBHOOK_URL and that this machine can reach it",
            ) from None
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise AlertError(
                f"the webhook answered {status}",
                where=host,
                remedy="check TOTO_ALERT_WEBHOOK_URL; a moved or revoked webhook must be made anew",
            )
        return ""


@dataclass(frozen=True)
class EmailChannel:
    """Sends one message to all recipients, encrypted unless the configuration says otherwise."""

    config: EmailConfig
    user: SecretStr | None = None
    password: SecretStr | None = None

    def send(self, alert: Alert) -> str:
        """Deliver one alert; recipients the server refused while it took others are named in the remark."""
        place = f"{self.config.host}:{self.config.port}"
        try:
            with smtplib.SMTP(self.config.host, self.config.port, timeout=self.config.timeout_seconds) as server:
                if self.config.starttls:
                    server.starttls(context=ssl.create_default_context())
                if self.user is not None and self.password is not None:
                    server.login(self.user.get_secret_value(), self.password.get_secret_value())
                refused = server.send_message(self.message(alert))
        except (OSError, UnicodeError, smtplib.SMTPException) as error:  # UnicodeError: a host no name can have
            raise AlertError(
                f"the mail server did not take the message ({type(error).__name__}: {error})",
                where=place,
                remedy="check `email` in alerts.yaml, TOTO_ALERT_SMTP_USER and TOTO_ALERT_SMTP_PASSWORD",
            ) from error
        return f"{place} refused {', '.join(refused)}" if refused else ""

    def message(self, alert: Alert) -> EmailMessage:
        """The alert as a message."""
        # A line may have 998 characters; shorter ones would be folded, and a folded subject begins with an empty line.
        message = EmailMessage(policy=SMTP.clone(max_line_length=998))
        message["Subject"] = f"[toto-ops] {alert.title}"
        message["From"] = self.config.sender
        message["To"] = ", ".join(self.config.recipients)
        message["Date"] = format_datetime(alert.at)
        message["Message-ID"] = make_msgid(domain=self.config.sender.rpartition("@")[2])
        message.set_content(alert.text)
        return message


def slack_text(alert: Alert) -> str:
    """The alert in Slack's markup: what an error quotes must not become a link or a mention."""
    escaped = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    title, _, rest = "".join(escaped.get(character, character) for character in alert.text).partition("\n")
    return f"*{title}*\n{rest}"


def open_channel(name: ChannelName, config: AlertsConfig, secrets: AlertSecrets) -> Channel | None:
    """A channel, ready to send; None where it is off.

    Raises
    ------
    ConfigError
        If it is on and its secrets are missing, or would travel unencrypted.
    """
    if name == "webhook":
        return _webhook(config, secrets) if config.webhook.enabled else None
    return _email(config, secrets) if config.email.enabled else None


def _webhook(config: AlertsConfig, secrets: AlertSecrets) -> Channel:
    if secrets.webhook_url is None:
        raise ConfigError(
            "the webhook is on and has no address", where="alerts.yaml", remedy="set TOTO_ALERT_WEBHOOK_URL in the environment"
        )
    return WebhookChannel(secrets.webhook_url, config.webhook.timeout_seconds)


def _email(config: AlertsConfig, secrets: AlertSecrets) -> Channel:
    if secrets.smtp_password is not None and not config.email.starttls:
        raise ConfigError(
            "a password would travel unencrypted", where="alerts.yaml", remedy="set email.starttls to true, or give no account"
        )
    return EmailChannel(config.email, secrets.smtp_user, secrets.smtp_password)
