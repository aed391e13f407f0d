"""Options that commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bat.runtime import PARAMS_FILE

Params = Annotated[Path, typer.Option(envvar=PARAMS_FILE, help="Parameter file of the experiment.")]
Out = Annotated[Path, typer.Option(help="Folder for the outputs and their recipe.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads of the numerical libraries.")]
Log = Annotated[Path | None, typer.Option(help="File to write the log to, beside the screen.")]
Files = Annotated[list[Path], typer.Option(help="Input files; repeat the option for more.")]
SomeFiles = Annotated[
    list[Path] | None, typer.Option(help="Input files; repeat the option for more.")
]
File = Annotated[Path, typer.Option(help="Input file.")]
Text = Annotated[str, typer.Option()]
Tables = Annotated[Path, typer.Option(help="Folder of the main table.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of the program that every command may use."""

    params: Path = Path("params.yaml")
    threads: int = 1
    log: Path | None = None

    @classmethod
    def of(cls, context: typer.Context) -> "Common":
        """Return the options that the program was started with."""
        return context.find_object(cls) or cls()
