"""Jobs as linked data: each an action, of a tool of the workflow, on files and values.

Everything said of a job stands in its recipe or its run log; what they do not say is not said.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bat.audit.linked_data import Graph, Ref, file_id, named_by_hash, ref
from bat.audit.rebuild import Record
from bat.errors import BatError
from bat.provenance.hashing import digest
from bat.provenance.recipe import RECIPE, RUN_LOG, OutputFile

WORKFLOW = "Snakefile"
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


class Jobs:
    """Describes jobs.

    Parameters
    ----------
    graph
        Where the entities go; it has the crate and the workflow already.
    records
        By folder, each after those that made its inputs.
    included
        Paths of the files that are in the crate.
    agent
        Who ran the jobs, where that is known.
    """

    def __init__(
        self,
        graph: Graph,
        records: Mapping[Path, Record],
        included: set[Path],
        agent: Ref | None,
    ) -> None:
        self.graph, self.records, self.included, self.agent = graph, records, included, agent

    def add(self, record: Record) -> None:
        """Describe a job, what it read and made, and the step of the workflow that it was."""
        recipe, log = record.recipe, record.log
        tool = self._tool(record)
        step = self._step(record, tool)
        objects = [self._input(record, i) for i in range(len(recipe.inputs))]
        values = {f"selection.{key}": value for key, value in recipe.selection.items()}
        objects += [self._value(record, k, v) for k, v in (values | recipe.settings).items()]
        results = [self._output(record, output) for output in recipe.outputs]
        described = [self._about(record, name) for name in (RECIPE, RUN_LOG)]
        job = self.action(
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
            control_of(record),
            "ControlAction",
            name=f"Step of {record.folder}",
            instrument=step,
            object=job,
        )

    def action(self, identifier: str, /, **properties: Any) -> Ref:
        """Describe something that was done and completed."""
        done = "http://schema.org/CompletedActionStatus"
        action = self.graph.add(
            identifier, "CreateAction", agent=self.agent, actionStatus=done, **properties
        )
        self.graph.link("./", "mentions", action)
        return action

    def _tool(self, record: Record) -> Ref:
        """Return the command of a stage, at the commit that the run log names."""
        stage, version = record.recipe.stage, _commit(record)
        packages = (record.log.get("packages") or {}).items()
        tool = self.graph.add(
            f"#tool-{stage}-{quote(version)}",
            "SoftwareApplication",
            name=f"bat {stage}",
            softwareVersion=version,
            softwareRequirements=[self._package(*package) for package in packages],
        )
        self.graph.link(WORKFLOW, "hasPart", tool)
        return tool

    def _package(self, name: str, version: str) -> Ref:
        identifier = f"#package-{quote(f'{name}-{version}')}"
        return self.graph.add(identifier, "SoftwareApplication", name=name, softwareVersion=version)

    def _step(self, record: Record, tool: Ref) -> Ref:
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

    def _input(self, record: Record, number: int) -> Ref:
        known = record.recipe.inputs[number]
        path = Path(known.path)
        maker = self.records.get(path.parent)
        output = maker.recipe.output(path.name) if maker is not None else None
        found = output or OutputFile(name=path.name, sha256=known.sha256, bytes=-1)
        if found.sha256 != known.sha256:
            raise BatError(f"{record.folder}: was made from another version of {path}")
        file = self.file(path, found)
        parameter = self._parameter(record, f"in-{known.role}", known.role, "File", "input", file)
        if maker is not None:
            self._connect(record, _output_parameter(maker.recipe.stage, path.name), parameter)
        return file

    def _output(self, record: Record, output: OutputFile) -> Ref:
        file = self.file(record.folder / output.name, output)
        source = record.recipe.settings.get("source")
        if isinstance(source, dict) and isinstance(source.get("licence"), str):
            self.graph.entities[file["@id"]]["license"] = licence_of(self.graph, source["licence"])
        self._parameter(record, f"out-{output.name}", output.name, "File", "output", file)
        return file

    def outputs(self, record: Record) -> list[Ref]:
        """Return what a job made."""
        return [self.file(record.folder / output.name, output) for output in record.recipe.outputs]

    def _value(self, record: Record, key: str, value: Any) -> Ref:
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
        self, record: Record, suffix: str, name: str, kind: str, use: str, example: Ref
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

    def _environment(self, record: Record) -> list[Ref]:
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

    def _usage(self, record: Record) -> list[Ref]:
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

    def _about(self, record: Record, name: str) -> Ref | None:
        path = record.folder / name
        return ref(file_id(path)) if path in self.included else None

    def file(self, path: Path, found: OutputFile) -> Ref:
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


def _output_parameter(stage: str, name: str) -> str:
    return f"#parameter-{quote(f'{stage}-out-{name}')}"


def control_of(record: Record) -> str:
    """Return the id of the step that a job was."""
    return f"#control-{record.recipe.id[:16]}"


def _commit(record: Record) -> str:
    """Name the code of a job: the commit on record, or a digest of its modules."""
    return named_commit(record.log.get("git") or {}) or f"code-{digest(record.recipe.code)}"


def named_commit(git: Mapping[str, Any]) -> str | None:
    """Name a state of the code: the commit, and whether there were changes; None if unknown."""
    changed = "-with-local-changes" if git.get("dirty") else ""
    return f"{git['commit']}{changed}" if git.get("commit") else None


def licence_of(graph: Graph, spdx: str) -> Ref:
    """Describe a licence by its SPDX identifier."""
    return graph.add(f"https://spdx.org/licenses/{quote(spdx)}", "CreativeWork", name=spdx)
