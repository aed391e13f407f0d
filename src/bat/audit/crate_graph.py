"""Records as linked data: the entities of a Provenance Run Crate.

The vocabulary is that of RO-Crate 1.1 and the Workflow Run Crate profiles 0.5
(https://w3id.org/ro/wfrun/provenance/0.5). Everything said of a job stands in its recipe or its run
log; what they do not say is not said.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bat.audit.rebuild import Record
from bat.errors import BatError
from bat.provenance.environment import git_state
from bat.provenance.hashing import digest
from bat.provenance.recipe import RECIPE, RUN_LOG, OutputFile

METADATA = "ro-crate-metadata.json"
WORKFLOW = "Snakefile"
README = "README.md"
_SPECIFICATION = "https://w3id.org/ro/crate/1.1"
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/provenance/0.5": ("Provenance Run Crate", "0.5"),
    _WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
_TERMS = "https://w3id.org/ro/terms/workflow-run#"
_NEW_TERMS = (
    "ParameterConnection", "connection", "environment", "resourceUsage", "sha256",
    "sourceParameter", "targetParameter",
)  # fmt: skip
CONTEXT = [f"{_SPECIFICATION}/context", {term: _TERMS + term for term in _NEW_TERMS}]
_FORMATS = {
    ".json": "application/json",
    ".csv": "text/csv",
    ".md": "text/markdown",
    ".png": "image/png",
    ".parquet": "application/vnd.apache.parquet",
    ".safetensors": "application/x-safetensors",
    ".npy": "application/x-npy",
    ".zip": "application/zip",
    ".lock": "text/plain",
    ".smk": "text/x-snakemake",
}
_USAGE = {
    "wall_s": "https://qudt.org/vocab/unit/SEC",
    "cpu_s": "https://qudt.org/vocab/unit/SEC",
    "peak_memory_bytes": "https://qudt.org/vocab/unit/BYTE",
}
_MADE = ("results/tables", "results/figures")
Entity = dict[str, Any]


def ref(identifier: str) -> dict[str, str]:
    """Return a reference to an entity."""
    return {"@id": identifier}


def file_id(path: Path | str) -> str:
    """Return the id of a file in the crate: its path, percent-encoded as URIs want it."""
    return quote(Path(path).as_posix(), safe="/")


def named_by_hash(sha256: str) -> str:
    """Return the id of a file that is not in the crate: its hash, as a URI (RFC 6920)."""
    value = base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")
    return f"ni:///sha-256;{value}"


@dataclass
class Graph:
    """The entities of a crate, each once, in the order in which they were added."""

    entities: dict[str, Entity] = field(default_factory=dict)

    def add(self, identifier: str, kind: str | list[str], /, **properties: Any) -> dict[str, str]:
        """Add an entity unless it is there, and return a reference to it."""
        entity = {"@id": identifier, "@type": kind}
        entity |= {name: value for name, value in properties.items() if value not in (None, [])}
        self.entities.setdefault(identifier, entity)
        return ref(identifier)

    def link(self, identifier: str, name: str, target: dict[str, str]) -> None:
        """Add a reference to an entity's property, which becomes a list."""
        known = self.entities[identifier].setdefault(name, [])
        if target not in known:
            known.append(target)

    def document(self) -> dict[str, Any]:
        """Return the crate's metadata as a plain value."""
        return {"@context": CONTEXT, "@graph": [_compact(e) for e in self.entities.values()]}


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
        self.records, self.included = records, included
        self.graph = Graph()
        self._agent = None if agent is None else f"#agent-{quote(agent, safe='')}"
        self._root(licence)
        if self._agent is not None:
            self.graph.add(self._agent, "Person", name=agent)

    def document(self, more_files: Iterable[tuple[Path, OutputFile]]) -> dict[str, Any]:
        """Return the crate's metadata.

        Parameters
        ----------
        more_files
            Files of the project itself, such as the workflow.
        """
        for path, found in more_files:
            self._file(path, found)
        self.graph.entities[README]["about"] = ref("./")
        self._workflow()
        for record in self.records.values():
            self._job(record)
        self._run()
        return self.graph.document()

    # The crate as a whole

    def _root(self, licence: str) -> None:
        add = self.graph.add
        conforms = [ref(_SPECIFICATION), ref(_WORKFLOW_CRATE)]
        add(METADATA, "CreativeWork", about=ref("./"), conformsTo=conforms)
        add(
            "./",
            "Dataset",
            name="A run of BAT, job by job",
            description="Recipes and run logs as the jobs wrote them, what they made, and the "
            "workflow that they belong to.",
            datePublished=self._latest("finished"),
            license=_licence(self.graph, licence),
            author=ref(self._agent) if self._agent else None,
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
            "version": _named_commit(git_state()),
        }

    def _run(self) -> None:
        """Say that the jobs were one run of the workflow, which Snakemake organised."""
        records = list(self.records.values())
        made = [r for r in records if r.folder.as_posix() in _MADE] or records[-1:]
        first = [r for r in records if not r.recipe.inputs]
        run = self._action(
            "#run",
            name="Run of the workflow",
            description="All jobs together, of one or more starts of Snakemake.",
            instrument=ref(WORKFLOW),
            object=[ref(i) for record in first for i in self._outputs(record)],
            result=[ref(i) for record in made for i in self._outputs(record)],
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
            agent=self._who,
            instrument=engine,
            object=[ref(_control(record)) for record in records],
            result=run,
            startTime=self._earliest("started"),
            endTime=self._latest("finished"),
        )
        self.graph.link("./", "mentions", ref("#organisation"))

    def _earliest(self, name: str) -> str:
        return min(str(record.log[name]) for record in self.records.values())

    def _latest(self, name: str) -> str:
        return max(str(record.log[name]) for record in self.records.values())

    @property
    def _who(self) -> dict[str, str] | None:
        return ref(self._agent) if self._agent else None

    # One job

    def _job(self, record: Record) -> None:
        recipe, log = record.recipe, record.log
        tool = self._tool(record)
        step = self._step(record, tool)
        objects = [self._input(record, i) for i in range(len(recipe.inputs))]
        values = {f"selection.{key}": value for key, value in recipe.selection.items()}
        objects += [self._value(record, k, v) for k, v in (values | recipe.settings).items()]
        results = [self._output(record, output) for output in recipe.outputs]
        described = [self._about(record, name) for name in (RECIPE, RUN_LOG)]
        job = self._action(
            f"#job-{recipe.id[:16]}",
            name=" ".join([recipe.stage, *recipe.selection.values()]),
            description=f"Wrote {record.folder}; a rebuild repeats it: {recipe.determinism}.",
            identifier=recipe.id,
            instrument=tool,
            object=objects,
            result=results,
            startTime=log.get("started"),
            endTime=log.get("finished"),
            environment=self._environment(record),
            resourceUsage=self._usage(record),
            subjectOf=[one for one in described if one is not None],
        )
        self.graph.add(
            _control(record),
            "ControlAction",
            name=f"Step of {record.folder}",
            instrument=step,
            object=job,
        )

    def _action(self, identifier: str, /, **properties: Any) -> dict[str, str]:
        done = "http://schema.org/CompletedActionStatus"
        action = self.graph.add(
            identifier, "CreateAction", agent=self._who, actionStatus=done, **properties
        )
        self.graph.link("./", "mentions", action)
        return action

    def _tool(self, record: Record) -> dict[str, str]:
        """Return the command of a stage, at the commit that the run log names."""
        stage, version = record.recipe.stage, _commit(record)
        packages = (record.log.get("packages") or {}).items()
        tool = self.graph.add(
            f"#tool-{stage}-{version[:12]}",
            "SoftwareApplication",
            name=f"bat {stage}",
            softwareVersion=version,
            softwareRequirements=[self._package(*package) for package in packages],
        )
        self.graph.link(WORKFLOW, "hasPart", tool)
        return tool

    def _package(self, name: str, version: str) -> dict[str, str]:
        identifier = f"#package-{quote(f'{name}-{version}')}"
        return self.graph.add(identifier, "SoftwareApplication", name=name, softwareVersion=version)

    def _step(self, record: Record, tool: dict[str, str]) -> dict[str, str]:
        known = self.graph.entities[WORKFLOW].get("step", [])
        step = self.graph.add(
            f"#step-{record.recipe.stage}",
            "HowToStep",
            name=record.recipe.stage,
            position=str(len(known) + 1),
        )
        self.graph.link(step["@id"], "workExample", tool)
        self.graph.link(WORKFLOW, "step", step)
        return step

    def _input(self, record: Record, number: int) -> dict[str, str]:
        known = record.recipe.inputs[number]
        path = Path(known.path)
        maker = self.records.get(path.parent)
        output = maker.recipe.output(path.name) if maker is not None else None
        found = output or OutputFile(name=path.name, sha256=known.sha256, bytes=-1)
        if found.sha256 != known.sha256:
            raise BatError(f"{record.folder}: was made from another version of {path}")
        file = self._file(path, found)
        parameter = self._parameter(record, f"in-{known.role}", known.role, "File", "input", file)
        if maker is not None:
            self._connect(record, _output_parameter(maker.recipe.stage, path.name), parameter)
        return file

    def _output(self, record: Record, output: OutputFile) -> dict[str, str]:
        file = self._file(record.folder / output.name, output)
        source = record.recipe.settings.get("source")
        if isinstance(source, dict) and isinstance(source.get("licence"), str):
            self.graph.entities[file["@id"]]["license"] = _licence(self.graph, source["licence"])
        self._parameter(record, f"out-{output.name}", output.name, "File", "output", file)
        return file

    def _outputs(self, record: Record) -> list[str]:
        return [
            self._file(record.folder / output.name, output)["@id"]
            for output in record.recipe.outputs
        ]

    def _value(self, record: Record, key: str, value: Any) -> dict[str, str]:
        """Describe a setting; jobs that share it share the entity."""
        stage = record.recipe.stage
        found = self.graph.add(
            f"#value-{quote(f'{stage}-{key}')}-{digest(value)[:12]}",
            "PropertyValue",
            name=key,
            value=value if isinstance(value, str) else json.dumps(value, ensure_ascii=False),
        )
        self._parameter(record, f"setting-{key}", key, "PropertyValue", "input", found)
        return found

    def _parameter(
        self, record: Record, suffix: str, name: str, kind: str, use: str, example: dict[str, str]
    ) -> str:
        """Describe a parameter of the job's stage, with a file or value as an example of it."""
        identifier = f"#parameter-{quote(f'{record.recipe.stage}-{suffix}')}"
        self.graph.add(identifier, "FormalParameter", name=name, additionalType=kind)
        self.graph.link(identifier, "workExample", example)
        self.graph.link(example["@id"], "exampleOfWork", ref(identifier))
        self.graph.link(self._tool(record)["@id"], use, ref(identifier))
        return identifier

    def _connect(self, record: Record, source: str, target: str) -> None:
        identifier = f"#connection-{source[1:]}-{target[1:]}"
        connection = self.graph.add(
            identifier,
            "ParameterConnection",
            sourceParameter=ref(source),
            targetParameter=ref(target),
        )
        self.graph.link(self._step(record, self._tool(record))["@id"], "connection", connection)

    def _environment(self, record: Record) -> list[dict[str, str]]:
        threads = record.log.get("threads")
        if threads is None:
            return []
        value = self.graph.add(
            f"#threads-{quote(str(threads))}",
            "PropertyValue",
            name="OMP_NUM_THREADS",
            value=str(threads),
        )
        self._parameter(record, "threads", "OMP_NUM_THREADS", "PropertyValue", "environment", value)
        return [value]

    def _usage(self, record: Record) -> list[dict[str, str]]:
        return [
            self.graph.add(
                f"#usage-{record.recipe.id[:16]}-{name}",
                "PropertyValue",
                name=name,
                propertyID=name,
                unitCode=unit,
                value=str(record.log[name]),
            )
            for name, unit in _USAGE.items()
            if name in record.log
        ]

    def _about(self, record: Record, name: str) -> dict[str, str] | None:
        path = record.folder / name
        return ref(file_id(path)) if path in self.included else None

    def _file(self, path: Path, found: OutputFile) -> dict[str, str]:
        """Describe a file: by its path where it is in the crate, else by its hash."""
        here = path in self.included
        known = self.graph.add(
            file_id(path) if here else named_by_hash(found.sha256),
            "File",
            name=path.as_posix(),
            description=None if here else "Not in this crate; its hash names it.",
            encodingFormat=_FORMATS.get(path.suffix, "application/octet-stream"),
            contentSize=str(found.bytes) if found.bytes >= 0 else None,
            sha256=found.sha256,
        )
        self.graph.link("./", "hasPart", known)
        return known


def _compact(entity: Entity) -> Entity:
    """Write a list of one value as the value, which is how JSON-LD compacts it."""
    return {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in entity.items()
    }


def _output_parameter(stage: str, name: str) -> str:
    return f"#parameter-{quote(f'{stage}-out-{name}')}"


def _control(record: Record) -> str:
    return f"#control-{record.recipe.id[:16]}"


def _commit(record: Record) -> str:
    """Name the code of a job: the commit on record, or a digest of its modules."""
    return _named_commit(record.log.get("git") or {}) or f"code-{digest(record.recipe.code)}"


def _named_commit(git: Mapping[str, Any]) -> str | None:
    changed = "-with-local-changes" if git.get("dirty") else ""
    return f"{git['commit']}{changed}" if git.get("commit") else None


def _licence(graph: Graph, spdx: str) -> dict[str, str]:
    return graph.add(f"https://spdx.org/licenses/{quote(spdx)}", "CreativeWork", name=spdx)
