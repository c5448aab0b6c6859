"""The configuration kept with a retraining is the one its hash was taken of, and stays it."""

from toto_ops.configuration import Settings
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.recorded_configuration import configuration_of, note_configuration
from toto_ops.storage.hashing import value_hash


def test_what_is_kept_hashes_to_the_configuration_hash(tmp_path):
    project = Project(Settings(home=str(tmp_path)))
    for name in project.universes.universes:
        universe = project.universe(name)
        retraining = project.retraining(universe, "r")
        note_configuration(project, retraining, universe)
        kept = configuration_of(retraining)
        assert value_hash(kept.model_dump(exclude={"schema_version"})) == project.config_hash(universe)


def test_the_first_one_stays(tmp_path):
    project = Project(Settings(home=str(tmp_path)))
    universe = project.universe("crypto")
    retraining = project.retraining(universe, "r")
    note_configuration(project, retraining, universe)
    kept = configuration_of(retraining)
    note_configuration(project, retraining, universe.model_copy(update={"description": "changed since"}))
    assert configuration_of(retraining) == kept


def test_a_retraining_of_an_earlier_release_kept_none(tmp_path):
    project = Project(Settings(home=str(tmp_path)))
    assert configuration_of(project.retraining(project.universe("crypto"), "r")) is None
