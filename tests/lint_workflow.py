"""Run `snakemake --lint` and fail on any finding but one.

Snakemake wants a conda environment or a container for every rule. Here one lock file pins the
software of all rules together, and its hash stands in every recipe.
"""

import subprocess
import sys
from pathlib import Path

ACCEPTED = "Specify a conda environment or container for each rule."


def main() -> int:
    snakemake = Path(sys.executable).with_name("snakemake")
    done = subprocess.run([snakemake, "--lint"], capture_output=True, text=True, check=False)
    where, findings, accepted = "", [], 0
    for line in (done.stdout + done.stderr).splitlines():
        if line.startswith("Lints for "):
            where = line
        elif line.startswith("    * "):
            accepted += ACCEPTED in line
            if ACCEPTED not in line:
                findings.append(f"{where} {line.strip()}")
    if not accepted and done.returncode:
        findings.append(f"snakemake --lint failed:\n{done.stderr}")
    print("\n".join(findings) or f"snakemake --lint: nothing but {accepted} times: {ACCEPTED}")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
