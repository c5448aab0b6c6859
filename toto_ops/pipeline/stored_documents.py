"""Every kind of versioned document a store holds: where it lies and which model reads it."""

from __future__ import annotations

from dataclasses import dataclass

from toto_ops.configuration import VersionedModel
from toto_ops.monitoring.new_symbols import SymbolAttempt
from toto_ops.monitoring.staleness import Fingerprint
from toto_ops.pipeline.market_steps import Members
from toto_ops.pipeline.new_symbols import JoinedMarket
from toto_ops.pipeline.outcome import RetrainingOutcome
from toto_ops.pipeline.recorded_configuration import RecordedConfiguration
from toto_ops.pipeline.registry_steps import OfferedChallenger
from toto_ops.pipeline.retraining_decision import LastRetraining
from toto_ops.serving.market_view import PublishedMarket
from toto_ops.storage.retraining import RETRAININGS, AsOf
from toto_ops.training.ledger import Opening, Trial


@dataclass(frozen=True)
class DocumentKind:
    """Documents of one model.

    Attributes
    ----------
    pattern
        Where they lie, as a glob below a namespace.
    """

    model: type[VersionedModel]
    pattern: str


DOCUMENTS = (
    DocumentKind(PublishedMarket, "*/serving.json"),
    DocumentKind(LastRetraining, "*/last_retraining.json"),
    DocumentKind(SymbolAttempt, "*/symbol_attempts/*.json"),
    DocumentKind(Trial, "*/trials/*.json"),
    DocumentKind(Opening, "*/openings/*.json"),
    DocumentKind(AsOf, f"*/{RETRAININGS}/*/as_of.json"),
    DocumentKind(Members, f"*/{RETRAININGS}/*/members.json"),
    DocumentKind(Fingerprint, f"*/{RETRAININGS}/*/fingerprint.json"),
    DocumentKind(RecordedConfiguration, f"*/{RETRAININGS}/*/configuration.json"),
    DocumentKind(JoinedMarket, f"*/{RETRAININGS}/*/joined_market.json"),
    DocumentKind(OfferedChallenger, f"*/{RETRAININGS}/*/challenger.json"),
    DocumentKind(RetrainingOutcome, f"*/{RETRAININGS}/*/outcome.json"),
)
"""Documents that are written anew as the present version."""


def sealed_kinds() -> tuple[DocumentKind, ...]:
    """Documents inside artefacts, which are named after their content and are therefore never written again."""
    from toto_ops.evaluation.evidence import EVIDENCE_FILE, Evidence
    from toto_ops.features.panel_builder import MANIFEST as PANEL_MANIFEST
    from toto_ops.features.panel_builder import PanelManifest
    from toto_ops.market.bars import MANIFEST as BARS_MANIFEST
    from toto_ops.market.bars import BarsManifest
    from toto_ops.policies.contract import MANIFEST as POLICY_MANIFEST
    from toto_ops.policies.contract import PolicyManifest

    return (
        DocumentKind(BarsManifest, f"*/bars/*/*/{BARS_MANIFEST}"),
        DocumentKind(PanelManifest, f"*/panel/*/{PANEL_MANIFEST}"),
        DocumentKind(PolicyManifest, f"*/*_policy/*/{POLICY_MANIFEST}"),
        DocumentKind(Evidence, f"*/evaluation_report/*/{EVIDENCE_FILE}"),
    )
