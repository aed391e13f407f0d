"""A run as linked data: the metadata of a Provenance Run Crate.

The vocabulary is that of RO-Crate 1.1 and the Workflow Run Crate profiles 0.5
(https://w3id.org/ro/wfrun/provenance/0.5).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bat.audit.crate_jobs import WORKFLOW, Jobs, control_of, licence_of, named_commit
from bat.audit.linked_data import SPECIFICATION, Graph, Ref, ref
from bat.audit.rebuild import Record
from bat.provenance.environment import git_state
from bat.provenance.recipe import OutputFile

METADATA = "ro-crate-metadata.json"
README = "README.md"
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    _WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
_MADE = ("results/tables", "results/figures")


class RunCrate:
    """Turns records into the entities of a crate.

    Parameters
    ----------
    records
        Each after those that made its inputs.
    included
        Paths of the files that are in the crate.
    licence
        SPDX identifier of the code's.
    agent
        Who ran the jobs; the records do not say.
    """

    def __init__(
        self,
        records: Mapping[Path, Record],
        included: set[Path],
        *,
        licence: str,
        agent: str | None = None,
    ) -> None:
        self.records = records
        self.graph = Graph()
        self._agent: Ref | None = None
        if agent is not None:
            self._agent = self.graph.add(f"#agent-{quote(agent, safe='')}", "Person", name=agent)
        self._root(licence)
        self.jobs = Jobs(self.graph, records, included, self._agent)

    def document(self, more_files: Iterable[tuple[Path, OutputFile]]) -> dict[str, Any]:
        """Return the crate's metadata.

        Parameters
        ----------
        more_files
            Files of the project itself, such as the workflow.
        """
        for path, found in more_files:
            self.jobs.file(path, found)
        self.graph.entities[README]["about"] = ref("./")
        self._workflow()
        for record in self.records.values():
            self.jobs.add(record)
        self._run()
        return self.graph.document()

    # The crate as a whole

    def _root(self, licence: str) -> None:
        add = self.graph.add
        conforms = [ref(SPECIFICATION), ref(_WORKFLOW_CRATE)]
        add(METADATA, "CreativeWork", about=ref("./"), conformsTo=conforms)
        add(
            "./",
            "Dataset",
            name="A run of BAT, job by job",
            description="Recipes and run logs as the jobs wrote them, what they made, and the "
            "workflow that they belong to.",
            datePublished=self._latest("finished"),
            license=licence_of(self.graph, licence),
            author=self._agent,
            conformsTo=[ref(profile) for profile in _PROFILES],
            mainEntity=ref(WORKFLOW),
        )
        for profile, (name, version) in _PROFILES.items():
            add(profile, "CreativeWork", name=name, version=version)

    def _workflow(self) -> None:
        language = self.graph.add(
            "#snakemake-language",
            "ComputerLanguage",
            name="Snakemake",
            url="https://snakemake.readthedocs.io",
        )
        workflow = self.graph.entities[WORKFLOW]
        workflow["@type"] = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
        workflow |= {
            "name": "BAT: from the source archive to the main table",
            "description": "As it was when the crate was written; the rules lie in workflow/rules.",
            "programmingLanguage": language,
            "conformsTo": ref(_BIOSCHEMAS),
            "license": self.graph.entities["./"]["license"],
            "version": named_commit(git_state()),
        }

    def _run(self) -> None:
        """Say that the jobs were one run of the workflow, which Snakemake organised."""
        records = list(self.records.values())
        made = [r for r in records if r.folder.as_posix() in _MADE] or records[-1:]
        first = [r for r in records if not r.recipe.inputs]
        run = self.jobs.action(
            "#run",
            name="Run of the workflow",
            description="All jobs together, of one or more starts of Snakemake.",
            instrument=ref(WORKFLOW),
            object=[one for record in first for one in self.jobs.outputs(record)],
            result=[one for record in made for one in self.jobs.outputs(record)],
            startTime=self._earliest("started"),
            endTime=self._latest("finished"),
        )
        version = (records[0].log.get("packages") or {}).get("snakemake")
        engine = self.graph.add(
            "#snakemake",
            "SoftwareApplication",
            name="Snakemake",
            url="https://snakemake.github.io",
            softwareVersion=version,
        )
        self.graph.add(
            "#organisation",
            "OrganizeAction",
            name="Snakemake's part in the run",
            agent=self._agent,
            instrument=engine,
            object=[ref(control_of(record)) for record in records],
            result=run,
            startTime=self._earliest("started"),
            endTime=self._latest("finished"),
        )
        self.graph.link("./", "mentions", ref("#organisation"))

    def _earliest(self, name: str) -> str:
        return min(str(record.log[name]) for record in self.records.values())

    def _latest(self, name: str) -> str:
        return max(str(record.log[name]) for record in self.records.values())
