"""Jobs of one op that people start from the launchpad: each does what a command of `toto-ops` does, in one process."""

import dagster as dg


def launchpad_job(name: str, op: dg.OpDefinition, description: str) -> dg.JobDefinition:
    """A job of one op that takes nothing and hands nothing on; in run configurations the op has the name of the job."""

    @dg.job(name=name, description=description, executor_def=dg.in_process_executor)
    def job() -> None:
        # An op must not be defined under the name of a job; what it is called within one is free.
        op.alias(name)()

    return job
