#!/usr/bin/env bash
# Stop the SLURM that up.sh started in a folder, by the process ids in it, and forget it.
set -uo pipefail
root=$(realpath -m "${1:?which folder?}")
grep -qs "$root/state" /etc/slurm/slurm.conf || exit 0      # not up, or not from here
scancel --user=root 2>/dev/null
for _ in $(seq 150); do [ -z "$(squeue -h 2>/dev/null)" ] && break; sleep 0.1; done
for file in "$root"/slurmd-*.pid "$root"/slurmctld.pid "$root"/munged.pid; do
    id=$(cat "$file" 2>/dev/null) || continue
    # an id that now belongs to something else is left alone
    case $(cat "/proc/$id/comm" 2>/dev/null) in slurmd | slurmctld | munged) ;; *) continue ;; esac
    kill "$id"
    for _ in $(seq 100); do [ -e "/proc/$id" ] || break; sleep 0.1; done
done
rm -f /etc/slurm/{slurm,gres,cgroup}.conf
rm -rf "$root"
