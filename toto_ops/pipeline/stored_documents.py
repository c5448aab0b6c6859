"""Every kind of versioned document a store holds: where it lies and which model reads it."""

from __future__ import annotations

from dataclasses import dataclass

from toto_ops.configuration import VersionedModel
from toto_ops.evaluation.controls.outcome import ControlOutcome, ControlsSummary
from toto_ops.forecasting.embeddings.index import NEWEST, NewestIndex
from toto_ops.monitoring.new_symbols import SymbolAttempt
from toto_ops.monitoring.staleness import Fingerprint
from toto_ops.pipeline.controls import CONTROLS, OUTCOMES, SUMMARY_DOCUMENT
from toto_ops.pipeline.market_steps import MEMBERS_DOCUMENT, Members
from toto_ops.pipeline.new_symbols import ATTEMPTS, JOINED_MARKET_DOCUMENT, JoinedMarket
from toto_ops.pipeline.outcome import OUTCOME_DOCUMENT, RetrainingOutcome
from toto_ops.pipeline.recorded_configuration import CONFIGURATION_DOCUMENT, RecordedConfiguration
from toto_ops.pipeline.registry_steps import CHALLENGER_DOCUMENT, OfferedChallenger
from toto_ops.pipeline.retraining_decision import FINGERPRINT_DOCUMENT, LAST_RETRAINING_DOCUMENT, LastRetraining
from toto_ops.serving.market_view import SERVING_DOCUMENT, PublishedMarket
from toto_ops.storage.retraining import AS_OF_DOCUMENT, RETRAININGS, AsOf
from toto_ops.training.ledger import OPENINGS, TRIALS, Opening, Trial


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
    DocumentKind(NewestIndex, f"*/{NEWEST}/*.json"),
    DocumentKind(PublishedMarket, f"*/{SERVING_DOCUMENT}"),
    DocumentKind(LastRetraining, f"*/{LAST_RETRAINING_DOCUMENT}"),
    DocumentKind(SymbolAttempt, f"*/{ATTEMPTS}/*.json"),
    DocumentKind(Trial, f"*/{TRIALS}/*.json"),
    DocumentKind(Opening, f"*/{OPENINGS}/*.json"),
    DocumentKind(AsOf, f"*/{RETRAININGS}/*/{AS_OF_DOCUMENT}"),
    DocumentKind(Members, f"*/{RETRAININGS}/*/{MEMBERS_DOCUMENT}"),
    DocumentKind(Fingerprint, f"*/{RETRAININGS}/*/{FINGERPRINT_DOCUMENT}"),
    DocumentKind(RecordedConfiguration, f"*/{RETRAININGS}/*/{CONFIGURATION_DOCUMENT}"),
    DocumentKind(JoinedMarket, f"*/{RETRAININGS}/*/{JOINED_MARKET_DOCUMENT}"),
    DocumentKind(OfferedChallenger, f"*/{RETRAININGS}/*/{CHALLENGER_DOCUMENT}"),
    DocumentKind(RetrainingOutcome, f"*/{RETRAININGS}/*/{OUTCOME_DOCUMENT}"),
    DocumentKind(ControlOutcome, f"{CONTROLS}/{OUTCOMES}/*.json"),
    DocumentKind(ControlsSummary, f"{CONTROLS}/{SUMMARY_DOCUMENT}"),
)
"""Documents that are written anew as the present version."""


def sealed_kinds() -> tuple[DocumentKind, ...]:
    """Documents inside artefacts, which are named after their content and are therefore never written again."""
    from toto_ops.evaluation.backtests.cross_validation import CROSS_VALIDATION_FILE, CrossValidation
    from toto_ops.evaluation.judgement.evidence import EVIDENCE_FILE, Evidence
    from toto_ops.features.panel_builder import MANIFEST as PANEL_MANIFEST
    from toto_ops.features.panel_builder import PanelManifest
    from toto_ops.forecasting.embeddings.embedder import MANIFEST as EMBEDDER_MANIFEST
    from toto_ops.forecasting.embeddings.embedder import EmbedderManifest
    from toto_ops.forecasting.embeddings.index import INDEX, EmbeddingIndex
    from toto_ops.forecasting.forecaster import ForecasterManifest
    from toto_ops.forecasting.forecaster_files import MANIFEST as FORECASTER_MANIFEST
    from toto_ops.forecasting.specialists.files import MANIFEST as SPECIALISTS_MANIFEST
    from toto_ops.forecasting.specialists.specialists import SpecialistsManifest
    from toto_ops.market.bars import MANIFEST as BARS_MANIFEST
    from toto_ops.market.bars import BarsManifest
    from toto_ops.pipeline.forecast_evaluation_steps import EVALUATION_FILE, ForecastEvaluations
    from toto_ops.policies.contract import MANIFEST as POLICY_MANIFEST
    from toto_ops.policies.contract import PolicyManifest

    return (
        DocumentKind(BarsManifest, f"*/bars/*/*/{BARS_MANIFEST}"),
        DocumentKind(PanelManifest, f"*/panel/*/{PANEL_MANIFEST}"),
        DocumentKind(PolicyManifest, f"*/*_policy/*/{POLICY_MANIFEST}"),
        DocumentKind(ForecasterManifest, f"*/forecaster/*/{FORECASTER_MANIFEST}"),
        DocumentKind(SpecialistsManifest, f"*/specialist_forecaster/*/{SPECIALISTS_MANIFEST}"),
        DocumentKind(EmbedderManifest, f"*/embedder/*/{EMBEDDER_MANIFEST}"),
        DocumentKind(EmbeddingIndex, f"*/embeddings/*/{INDEX}"),
        DocumentKind(ForecastEvaluations, f"*/forecast_evaluation/*/{EVALUATION_FILE}"),
        DocumentKind(Evidence, f"*/evaluation_report/*/{EVIDENCE_FILE}"),
        DocumentKind(CrossValidation, f"*/*_cross_validation/*/{CROSS_VALIDATION_FILE}"),
    )
