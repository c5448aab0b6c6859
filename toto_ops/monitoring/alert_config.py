"""`alerts.yaml` and its secrets: whom to tell, and of what. Everything is off until somebody turns it on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from toto_ops.configuration import StrictModel, VersionedModel, read_config
from toto_ops.errors import ConfigError
from toto_ops.monitoring.alerts import AlertKind

ChannelName = Literal["webhook", "email"]
CHANNELS: tuple[ChannelName, ...] = ("webhook", "email")


class WebhookConfig(StrictModel):
    """A chat system that takes Slack's JSON. Its address is a secret: `TOTO_ALERT_WEBHOOK_URL`."""

    enabled: bool = False
    timeout_seconds: float = Field(default=10, gt=0, le=20, description="to connect, and then between two bytes of the answer")


class EmailConfig(StrictModel):
    """A mail server. Its account is a secret: `TOTO_ALERT_SMTP_USER` and `TOTO_ALERT_SMTP_PASSWORD`, both or neither."""

    enabled: bool = False
    host: str = "localhost"
    port: int = Field(default=587, ge=1, le=65535)
    starttls: bool = Field(default=True, description="refuse a server that does not encrypt; false only for one of this machine")
    sender: str = ""
    recipients: tuple[str, ...] = ()
    timeout_seconds: float = Field(default=10, gt=0, le=20, description="for each answer of the server")

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if self.enabled and not (self.sender and self.recipients):
            raise ValueError("an enabled e-mail channel needs `sender` and `recipients`")
        for address in (self.sender, *self.recipients):
            if address and ("@" not in address or any(character.isspace() or ord(character) < 32 for character in address)):
                raise ValueError(f"{address!r} is not an e-mail address")
        return self


class AlertsConfig(VersionedModel):
    """`alerts.yaml`."""

    send: tuple[AlertKind, ...] = Field(default=("run_failure", "coverage_failure", "promotion", "demotion"))
    webhook: WebhookConfig = WebhookConfig()
    email: EmailConfig = EmailConfig()


class AlertSecrets(BaseSettings):
    """What may not stand in a file, from the environment."""

    model_config = SettingsConfigDict(env_prefix="TOTO_ALERT_", env_ignore_empty=True, frozen=True)

    webhook_url: SecretStr | None = None
    smtp_user: SecretStr | None = None
    smtp_password: SecretStr | None = None

    @model_validator(mode="after")
    def _usable(self) -> Self:
        # The messages name variables and never quote them.
        if self.webhook_url is not None:
            address = urlsplit(self.webhook_url.get_secret_value())
            if address.scheme not in ("http", "https") or not address.hostname:
                raise ValueError("TOTO_ALERT_WEBHOOK_URL is not an http or https address")
        if (self.smtp_user is None) != (self.smtp_password is None):
            raise ValueError("TOTO_ALERT_SMTP_USER and TOTO_ALERT_SMTP_PASSWORD belong together: give both or neither")
        return self


def load_alerts(config_dir: Path) -> AlertsConfig:
    """Read `alerts.yaml`.

    Raises
    ------
    ConfigError
        Naming the file, each offending key and the remedy.
    """
    return read_config(config_dir / "alerts.yaml", AlertsConfig)


def read_secrets() -> AlertSecrets:
    """Read the secrets of this process's environment.

    Raises
    ------
    ConfigError
        Naming the variable that does not fit; its value is not shown.
    """
    try:
        return AlertSecrets()
    except ValidationError as error:
        # Without its cause, which quotes what was given.
        faults = "; ".join(fault["msg"].removeprefix("Value error, ") for fault in error.errors(include_input=False))
        raise ConfigError(faults, where="environment", remedy="correct these variables; see docs/configuration.md") from None
