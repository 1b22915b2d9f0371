"""A network of its own for each node: Linux network namespaces on one bridge, made with `ip` by root."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Networks:
    """Addresses of this machine and of the nodes on a bridge between them."""

    address: str
    nodes: dict[str, str]
    prefix: str
    hosts: Path
    """Names of the nodes, as in /etc/hosts."""

    def within(self, node: str) -> list[str]:
        """Return the start of a command that runs in the network of a node, on a machine of the node's name."""
        # Not `ip netns exec`, which also hides the control groups that slurmd looks for.
        enter = (
            f"mount --bind '{self.hosts}' /etc/hosts && hostname \"$0\" && "
            f'exec nsenter --net=/run/netns/{self.prefix}-{node} "$@"'
        )
        return ["unshare", "--uts", "--mount", "sh", "-c", enter, node]

    def cut(self, node: str) -> None:
        """Take the node off the network: no packet arrives any more, and none says so, as when its power fails."""
        _ip("link", "set", f"{self.prefix}{list(self.nodes).index(node)}", "down")


def why_no_networks() -> str | None:
    """Return what is missing for networks of nodes, or None."""
    if os.geteuid() != 0:
        return "networks of nodes need root"
    if shutil.which("ip") is None:
        return "networks of nodes need the program ip; on Debian: apt-get install iproute2"
    try:
        with tempfile.TemporaryDirectory() as folder, networks(["node1"], Path(folder)) as made:
            subprocess.run([*made.within("node1"), "true"], check=True, capture_output=True, text=True, timeout=60)
        return None
    except subprocess.CalledProcessError as error:
        return f"networks of nodes cannot be made: {error.stderr.strip()}"


@contextmanager
def networks(nodes: list[str], folder: Path) -> Iterator[Networks]:
    """Make a bridge and a namespace per node, and remove them; `folder` holds what goes with them."""
    number = secrets.randbelow(250)
    prefix = f"pxrd{number}n"
    # 198.18.0.0/15 is reserved for tests of networks (RFC 2544).
    address = f"198.18.{number}.254"
    with ExitStack() as stack:
        bridge = f"{prefix}b"
        _ip("link", "add", bridge, "type", "bridge")
        stack.callback(_ip, "link", "del", bridge)
        _ip("addr", "add", f"{address}/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        addresses = {}
        for index, node in enumerate(nodes):
            space, end = f"{prefix}-{node}", f"{prefix}{index}"
            addresses[node] = f"198.18.{number}.{index + 1}"
            _ip("netns", "add", space)
            stack.callback(_ip, "netns", "del", space)
            _ip("link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", end, "master", bridge, "up")
            for words in (
                ("addr", "add", f"{addresses[node]}/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-n", space, *words)
        hosts = folder / "hosts"
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{ip} {node}\n" for node, ip in addresses.items()))
        yield Networks(address, addresses, prefix, hosts)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=60)
