"""A connected Dask client for this machine or an HPC scheduler; knows no diffraction."""

from cluster.config import ClusterSection, Profile
from cluster.connect import Cluster, connect
from cluster.errors import ClusterError
from cluster.perform import Failure
from cluster.submit import Progress, Task, run_tasks, run_tasks_here

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
