"""SLURM as this project meets it: its queue, runs that outlive their Snakemake, status queries."""
