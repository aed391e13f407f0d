#!/usr/bin/env bash
# A real SLURM for the tests: munge, slurmctld and slurmd, without systemd.
#
#   bash tests/slurm/up.sh FOLDER      start it; keys, state, logs and process ids lie in FOLDER
#   bash tests/slurm/down.sh FOLDER    stop what was started there, and nothing else
#
# Root on Debian or Ubuntu; the packages are installed where they are missing. Three partitions:
# main, gpu (two stand-in GPUs), and urgent, which preempts both by requeueing their jobs. A fourth,
# lost, is preempted by cancelling. A fifth, pair, has a second node, which is this machine again.
# Processor time is shared: a node claims four CPUs a core.
set -euo pipefail
root=$(realpath -m "${1:?which folder?}")
node=$(hostname -s)
config=/etc/slurm
packages=(munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins)

fail() { echo "slurm: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "only root can start it"
command -v apt-get >/dev/null || fail "it is installed with apt-get, which this system lacks"
# Where SLURM is configured already, its jobs are not ours to disturb.
[ ! -e $config/slurm.conf ] || grep -q '^# bat test node' $config/slurm.conf ||
    fail "$config/slurm.conf belongs to another SLURM"

missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    # Packages start their services where they find systemd or an init; this file forbids it.
    policy=/usr/sbin/policy-rc.d
    [ -e $policy ] || { trap 'rm -f $policy' EXIT; printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; }
    export DEBIAN_FRONTEND=noninteractive
    apt=(apt-get -qq -y -o DPkg::Lock::Timeout=120)
    "${apt[@]}" install --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
        { apt-get -qq update && "${apt[@]}" install --no-install-recommends "${missing[@]}"; } \
            >/dev/null 2>&1 || fail "cannot install ${missing[*]}"
fi

mkdir -p "$root"/{state,spool,log,dev} $config
chmod 755 "$root"

# munge vouches for who sends a message; its daemon wants a key that only its owner can read.
(umask 077; head -c 128 /dev/urandom >"$root/munge.key")
munged --force --key-file="$root/munge.key" --socket="$root/munge.socket" --num-threads=2 \
    --pid-file="$root/munged.pid" --log-file="$root/log/munged.log" --seed-file="$root/munge.seed"

# With the freezer of control groups a job's whole family is signalled and killed, as on a
# cluster; without it, its process groups are.
tracking=proctrack/pgid
if mkdir -p /sys/fs/cgroup/freezer/slurm 2>/dev/null; then
    tracking=proctrack/cgroup
    printf 'CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\nCgroupAutomount=no\n' \
        >$config/cgroup.conf
fi

gpus="Count=2 Flags=CountOnly"
if mknod "$root/dev/gpu0" c 1 3 2>/dev/null && mknod "$root/dev/gpu1" c 1 3; then
    gpus="File=$root/dev/gpu[0-1]"      # the null device twice; SLURM then sets CUDA_VISIBLE_DEVICES
fi
echo "NodeName=$node Name=gpu Type=standin $gpus" >$config/gres.conf

cores=$(nproc)
memory_mb=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
cat >$config/slurm.conf <<CONFIG
# bat test node
ClusterName=bat
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=26817
SlurmdPort=26818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits until its old credential has expired: 120 s by default.
AuthInfo=socket=$root/munge.socket,cred_expire=5
MpiDefault=none
ProctrackType=$tracking
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
ReturnToService=2
StateSaveLocation=$root/state
SlurmdSpoolDir=$root/spool/%n
SlurmctldPidFile=$root/slurmctld.pid
SlurmdPidFile=$root/slurmd-%n.pid
SlurmctldLogFile=$root/log/slurmctld.log
SlurmdLogFile=$root/log/slurmd-%n.log
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/none
MinJobAge=600
KillWait=10
GresTypes=gpu
NodeName=$node NodeAddr=127.0.0.1 CPUs=$((cores * 4)) RealMemory=$memory_mb Gres=gpu:standin:2
NodeName=$node-too NodeHostname=$node NodeAddr=127.0.0.1 Port=26819 CPUs=$((cores * 4)) RealMemory=$memory_mb
PartitionName=main Nodes=$node Default=YES PriorityTier=1 PreemptMode=REQUEUE
PartitionName=gpu Nodes=$node PriorityTier=1 PreemptMode=REQUEUE
PartitionName=lost Nodes=$node PriorityTier=1 PreemptMode=CANCEL
PartitionName=urgent Nodes=$node PriorityTier=10 PreemptMode=OFF
PartitionName=pair Nodes=$node,$node-too PriorityTier=1 PreemptMode=OFF
CONFIG

slurmctld >"$root/log/start.log" 2>&1
slurmd -N "$node" >>"$root/log/start.log" 2>&1
slurmd -N "$node-too" >>"$root/log/start.log" 2>&1

for _ in $(seq 100); do
    case $(sinfo -h -o %t 2>/dev/null | sort -u) in idle | mix | alloc) exit 0 ;; esac
    sleep 0.1
done
cat "$root"/log/*.log >&2
fail "the nodes did not come up in 10 s"
