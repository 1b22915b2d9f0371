"""Connected Dask clients for this machine or an HPC scheduler; knows no diffraction."""

from cluster.config import ClusterSection, Profile
from cluster.connect import Cluster, connect
from cluster.errors import ClusterError
from cluster.submit import Task, TaskProgress, run_tasks, run_tasks_inline
from cluster.task import Failure

__all__ = [
    "Cluster",
    "ClusterError",
    "ClusterSection",
    "Failure",
    "Profile",
    "Task",
    "TaskProgress",
    "connect",
    "run_tasks",
    "run_tasks_inline",
]
