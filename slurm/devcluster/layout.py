"""What the development cluster is: its folder, nodes, ports, and the text of its configuration files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

GPU_NODES = ("gpu1", "gpu2", "gpu3", "gpu4")
CPU_NODES = ("cpu1",)
NODES = GPU_NODES + CPU_NODES
PORTS = 2 + len(NODES)  # slurmctld, one slurmd per node, slurmdbd
LOOPBACK = "127.0.0.1"

SLURM_CONF = """\
# Written by slurm/devcluster; `devcluster up` replaces it.
ClusterName=devcluster
SlurmctldHost={host}({loopback})
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}

# No munge: whoever reaches the ports is believed. cred_expire is also how long a requeued job waits.
AuthType=auth/none
AuthInfo=cred_expire=10
CredType=cred/none
{communication}
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool/%n
SlurmctldPidFile={directory}/run/slurmctld.pid
SlurmdPidFile={directory}/run/%n.pid
SlurmctldLogFile={directory}/log/slurmctld.log
SlurmdLogFile={directory}/log/%n.log

# One machine plays five nodes: believe the sizes below, and need neither cgroups nor root.
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
MailProg=/bin/true
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
GresTypes=gpu

# Faults show within seconds.
SlurmdTimeout=12
MessageTimeout=5
KillWait=3
MinJobAge=20
ReturnToService=2
BatchStartTimeout=30
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=1

# Limits that a test can meet.
MaxArraySize=31
MaxJobCount=200

# A partition of a higher PriorityTier takes nodes from preemptible ones of a lower tier.
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE

{accounting}
{nodes}
PartitionName=DEFAULT MaxTime=7-00:00:00 PreemptMode=OFF
PartitionName=gpu Nodes=gpu[1-4] Default=YES PriorityTier=2
PartitionName=cpu Nodes=cpu1 PriorityTier=2
PartitionName=preempt Nodes=gpu[1-4] PriorityTier=1 PreemptMode=REQUEUE
PartitionName=preempt_grace Nodes=gpu[1-4] PriorityTier=1 PreemptMode=REQUEUE GraceTime=6
PartitionName=urgent Nodes=gpu[1-4] PriorityTier=3
"""

ACCOUNTING_ON = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={loopback}
AccountingStoragePort={port}
AccountingStorageEnforce=limits
AccountingStorageTRES=gres/gpu
"""
ACCOUNTING_OFF = "AccountingStorageType=accounting_storage/none\n"

SLURMDBD_CONF = """\
AuthType=auth/none
{communication}
DbdHost=localhost
DbdAddr={loopback}
DbdPort={port}
SlurmUser={user}
LogFile={directory}/log/slurmdbd.log
PidFile={directory}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser={user}
StorageLoc=slurm_acct_db
"""

# Reached by its socket only, which lies in a folder of mode 0700; sized for a handful of jobs. Without sync calls
# it comes up five times faster on a busy disk, and its records outlive any crash but the machine's.
MARIADB_CNF = """\
[mariadbd]
datadir={directory}/mysql
socket={directory}/mariadb.sock
pid-file={directory}/run/mariadbd.pid
log-error={directory}/log/mariadbd.log
skip-networking
skip-name-resolve
innodb-buffer-pool-size=64M
innodb-log-file-size=8M
debug-no-sync
innodb-lock-wait-timeout=900
"""


@dataclass(frozen=True)
class Layout:
    """One development cluster: where it lives, on which ports, for whom.

    Attributes
    ----------
    directory
        The absolute state folder; everything the cluster writes is inside.
    port_base
        slurmctld listens here, the slurmds on the ports after it, slurmdbd on the last of ``PORTS``.
    host
        The short name of this machine, as Slurm sees it.
    user
        The user whom the daemons run as.
    accounting
        Whether MariaDB and slurmdbd are part of it.
    loopback_only
        Whether the daemons can be bound to 127.0.0.1 alone. Slurm binds to the address of the host
        name, so this needs a host name that is 127.0.0.1 (127.0.1.1 breaks ``srun``).
    gpu_devices
        Device files of real GPUs, shared out among the GPU nodes; none is fine.
    """

    directory: Path
    port_base: int
    host: str
    user: str
    accounting: bool
    loopback_only: bool
    gpu_devices: tuple[str, ...]

    @property
    def conf(self) -> Path:
        """Return the path that ``SLURM_CONF`` names."""
        return self.directory / "slurm.conf"

    @property
    def dbd_port(self) -> int:
        """Return the port of slurmdbd."""
        return self.port_base + PORTS - 1

    def files(self) -> dict[str, str]:
        """Return the text of every configuration file by its name in the folder."""
        texts = {"slurm.conf": self._slurm_conf(), "gres.conf": self._gres_conf()}
        if self.accounting:
            texts["slurmdbd.conf"] = self._fill(SLURMDBD_CONF, port=self.dbd_port)
            texts["mariadb.cnf"] = self._fill(MARIADB_CNF)
        return texts

    def _fill(self, template: str, **more: object) -> str:
        flags = "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny" if self.loopback_only else ""
        return template.format(directory=self.directory, user=self.user, loopback=LOOPBACK, communication=flags, **more)

    def _slurm_conf(self) -> str:
        accounting = ACCOUNTING_ON if self.accounting else ACCOUNTING_OFF
        return self._fill(
            SLURM_CONF,
            host=self.host,
            port=self.port_base,
            accounting=self._fill(accounting, port=self.dbd_port),
            nodes="\n".join(self._node(name, self.port_base + 1 + i) for i, name in enumerate(NODES)) + "\n",
        )

    def _node(self, name: str, port: int) -> str:
        size = "CPUs=2 RealMemory=16000 Gres=gpu:1" if name in GPU_NODES else "CPUs=4 RealMemory=16000"
        return f"NodeName={name} NodeHostname={self.host} NodeAddr={LOOPBACK} Port={port} {size}"

    def _gres_conf(self) -> str:
        devices = self.gpu_devices or ("/dev/null",)
        return "".join(
            f"NodeName={name} Name=gpu File={devices[i % len(devices)]}\n" for i, name in enumerate(GPU_NODES)
        )
