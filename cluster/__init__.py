"""A connected Dask client for this machine or an HPC scheduler; knows no diffraction."""

from cluster.config import ClusterSection, Profile
from cluster.connect import Cluster, connect
from cluster.errors import ClusterError
from cluster.submit import Progress, Task, run_tasks, run_tasks_here
from cluster.task import Failure

__all__ = [
    "Cluster",
    "ClusterError",
    "ClusterSection",
    "Failure",
    "Profile",
    "Progress",
    "Task",
    "connect",
    "run_tasks",
    "run_tasks_here",
]
