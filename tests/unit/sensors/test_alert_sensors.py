"""Each channel tells everything once, in order; what it could not deliver is tried again, and the tick shows it."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from assets.resources import TotoOps
from assets.run_tags import UNIVERSE_TAG
from sensors import alerts
from sensors.alerts import alert_sensors
from tests.unit.monitoring.alert_servers import ChatServer, MailServer, chat_server, mail_server
from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.errors import AlertError, ConfigError, SourceError
from toto_ops.pipeline.project import Project
from toto_ops.registry.events import RegistryEvent, record_event


@dg.op
def fail() -> None:
    raise SourceError("is missing", where="bars")


@dg.job(tags={UNIVERSE_TAG: "crypto"})
def broken() -> None:
    fail()


@dg.asset(key=["crypto", "bars"])
def bars() -> None: ...


@dg.asset_check(asset=bars, blocking=True)
def coverage() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, description="25% of the symbols take part, 60% are required")


covered = dg.Definitions(
    assets=[bars], asset_checks=[coverage], jobs=[dg.define_asset_job("crypto_retrain", "*", tags={UNIVERSE_TAG: "crypto"})]
)


class Watch:
    """One project whose channels are on, its Dagster instance, and the sensors' cursors as the daemon keeps them.

    Tests share a home, since making MLflow's tables takes seconds, and have a namespace each.
    """

    def __init__(self, folder: Path, home: Path, channels: dict[str, object]) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        config = folder / "config"
        shutil.copytree(PROJECT_ROOT / "deploy" / "config", config)
        self.file = config / "alerts.yaml"
        self.configure(channels)
        self.settings = Settings(home=str(home), config_dir=config, env="local")
        self.namespace = folder.name
        self.registry = Project(self.settings, self.namespace).registry
        self.cursors: dict[str, str | None] = {}

    def configure(self, channels: dict[str, object]) -> None:
        self.file.write_text(json.dumps(channels))

    def tick(self, channel: str) -> str:
        """Evaluate a sensor as the daemon does: a tick that fails, or leaves no cursor, keeps the one before."""
        (sensor,) = (one for one in alert_sensors(dg.DefaultSensorStatus.STOPPED) if one.name == f"{channel}_alerts")
        toto = TotoOps(home=self.settings.home, config_dir=str(self.settings.config_dir), env="local", namespace=self.namespace)
        with dg.build_sensor_context(self.instance, cursor=self.cursors.get(channel), resources={"toto": toto}) as context:
            answer = sensor(context)
            assert isinstance(answer, dg.SkipReason)
            self.cursors[channel] = context.cursor or self.cursors.get(channel)
        return answer.skip_message or ""

    def a_run_fails(self) -> str:
        return broken.execute_in_process(instance=self.instance, raise_on_error=False).run_id

    def coverage_fails(self) -> None:
        covered.resolve_job_def("crypto_retrain").execute_in_process(instance=self.instance, raise_on_error=False)

    def noted(self, number: int, kind: str, outcome: str = "done") -> None:
        """A diary entry, as a promotion or rollback on the command line leaves it."""
        client, name = self.registry.tracking.client, self.registry.serving_name("crypto")
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        moment = datetime(2024, 2, number, tzinfo=UTC)
        entry = RegistryEvent(
            number=number, universe="crypto", at=moment, kind=kind, version=number, instead_of=number - 1 or None,  # type: ignore[arg-type]
            by="anna@desk", why="Sharpe", outcome=outcome,  # type: ignore[arg-type]
        )  # fmt: skip
        record_event(self.registry, entry)


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    with chat_server() as server:
        monkeypatch.setenv("TOTO_ALERT_WEBHOOK_URL", server.url)
        yield server


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def watch(tmp_path: Path, home: Path, chat: ChatServer, mail: MailServer) -> Watch:
    email = {"enabled": True, "host": "127.0.0.1", "port": mail.port, "starttls": False, "sender": "t@d", "recipients": ["a@d"]}
    watching = Watch(
        tmp_path, home, {"webhook": {"enabled": True, "timeout_seconds": 5}, "email": {**email, "timeout_seconds": 5}}
    )
    for channel in ("webhook", "email"):
        assert "from now on" in watching.tick(channel)
    return watching


def titles(chat: ChatServer) -> list[str]:
    return [text.split("*")[1] for text in chat.texts]


def test_everything_is_told_once_to_both_channels(watch: Watch, chat: ChatServer, mail: MailServer) -> None:
    run_id = watch.a_run_fails()
    watch.coverage_fails()
    watch.noted(1, "promotion")
    watch.noted(2, "rollback")
    for channel in ("webhook", "email"):
        assert "broken failed" in watch.tick(channel)
        assert "version 1 was promoted" in watch.tick(channel), "the diary has its own tick, failed runs go first"
        assert watch.tick(channel) == "nothing to tell"
    assert titles(chat) == [
        "crypto: broken failed",
        "crypto: too few healthy symbols, nothing was retrained",
        "crypto: version 1 was promoted and serves as the first champion",
        "crypto: version 1 was withdrawn, version 2 serves",
    ]
    assert run_id in chat.texts[0]
    assert "SourceError: bars: is missing" in chat.texts[0]
    assert "25% of the symbols take part" in chat.texts[1]
    assert "anna@desk: Sharpe" in chat.texts[3]
    assert [message["Subject"] for message in mail.messages] == [f"[toto-ops] {title}" for title in titles(chat)]


def test_what_was_before_a_channel_was_on_is_not_told(watch: Watch, chat: ChatServer) -> None:
    config = json.loads(watch.file.read_text())
    watch.configure({**config, "webhook": {"enabled": False}})
    assert watch.tick("webhook") == "off: set webhook.enabled in alerts.yaml"
    watch.a_run_fails()
    watch.noted(1, "promotion")
    assert "off" in watch.tick("webhook")
    watch.configure(config)
    assert "from now on" in watch.tick("webhook")
    assert watch.tick("webhook") == "nothing to tell"
    watch.noted(2, "promotion")
    watch.tick("webhook")
    assert titles(chat) == ["crypto: version 2 was promoted and serves instead of version 1"]


def test_a_failed_delivery_fails_the_tick_and_is_tried_again(watch: Watch, chat: ChatServer, mail: MailServer) -> None:
    watch.a_run_fails()
    chat.status = 503
    for _ in range(2):
        with pytest.raises(AlertError, match="answered 503"):
            watch.tick("webhook")
    watch.tick("email")
    assert len(mail.messages) == 1, "one channel's trouble is not the other's"
    chat.status = 200
    watch.tick("webhook")
    watch.tick("email")
    assert (titles(chat), len(mail.messages)) == (["crypto: broken failed"], 1)


def test_a_delivery_that_fails_after_others_does_not_repeat_them(
    watch: Watch, chat: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        watch.noted(number, "promotion")
    told = alerts.Alert.text.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(alerts.Alert, "text", property(lambda alert: _down_after_first(alert, chat, told)))
    message = watch.tick("webhook")
    assert "delivered: crypto: version 1" in message
    assert "not delivered, the next tick tries again" in message
    with pytest.raises(AlertError):
        watch.tick("webhook")
    monkeypatch.undo()
    monkeypatch.setenv("TOTO_ALERT_WEBHOOK_URL", chat.url)
    chat.status = 200
    watch.tick("webhook")
    assert [title.split(" was")[0] for title in titles(chat)] == ["crypto: version 1", "crypto: version 2"]


def _down_after_first(alert: alerts.Alert, chat: ChatServer, told: object) -> str:
    chat.status = 503 if "version 2 was" in alert.title else 200
    assert callable(told)
    return str(told(alert))


def test_a_slow_channel_leaves_the_rest_to_the_next_tick(watch: Watch, chat: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        watch.noted(number, "promotion")
    monkeypatch.setattr(alerts, "TICK_SECONDS", -1)
    assert watch.tick("webhook") == "the next tick goes on"
    monkeypatch.setattr(alerts, "TICK_SECONDS", 15)
    watch.tick("webhook")
    assert len(chat.posts) == 2


def test_an_attempt_under_way_waits_until_it_is_done(watch: Watch, chat: ChatServer) -> None:
    watch.noted(1, "promotion", "begun")
    assert watch.tick("webhook") == "nothing to tell"
    watch.noted(1, "promotion", "done")
    watch.tick("webhook")
    assert len(chat.posts) == 1


def test_what_is_not_wanted_is_passed_over(watch: Watch, chat: ChatServer) -> None:
    watch.configure({**json.loads(watch.file.read_text()), "send": ["demotion"]})
    watch.a_run_fails()
    watch.noted(1, "promotion")
    watch.noted(2, "rollback")
    watch.tick("webhook")
    watch.tick("webhook")
    assert titles(chat) == ["crypto: version 1 was withdrawn, version 2 serves"]


def test_a_failed_run_is_told_even_if_the_registry_is_down(
    watch: Watch, chat: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "events", _unreachable)
    watch.a_run_fails()
    watch.tick("webhook")
    with pytest.raises(ConnectionError):
        watch.tick("webhook")
    assert titles(chat) == ["crypto: broken failed"], "and told once"


def _unreachable(*_: object) -> None:
    raise ConnectionError("no MLflow here")


def test_a_channel_without_its_secret_fails_the_tick(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOTO_ALERT_WEBHOOK_URL")
    with pytest.raises(ConfigError, match="TOTO_ALERT_WEBHOOK_URL"):
        watch.tick("webhook")
