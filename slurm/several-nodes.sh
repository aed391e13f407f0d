#!/bin/sh
# One command of `bat pretrain` by all GPUs of several nodes; docs/slurm.md says when and how.
#
#   sbatch --nodes=2 --gpus-per-node=4 --cpus-per-task=32 --time=1-00:00:00 slurm/several-nodes.sh \
#       --params config/paper.yaml pretrain --model BAT --group as2m --manifest ... --out ...
#
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
# Ten minutes before the limit: the state is saved, and the job runs again under its number.
#SBATCH --signal=USR1@600
set -eu
# SLURM runs this script on the first node, where the ranks meet.
exec srun --kill-on-bad-exit=0 torchrun \
    --nnodes="$SLURM_JOB_NUM_NODES" --nproc-per-node="${SLURM_GPUS_ON_NODE:-1}" \
    --rdzv-backend=c10d --rdzv-endpoint="$(hostname):${BAT_PORT:-29500}" \
    --rdzv-id="$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}" \
    --shutdown-timeout=300 --signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 \
    -m bat "$@"
