"""The command line: names, options, prompts and exit codes as the public client's (spec: protocol 14)."""

from __future__ import annotations

import sys

import cyclopts
from cyclopts import CycloptsError

from app.cli import inventory, kubeconfigs, maintenance, nodes, remote, tee, vm
from app.cli.access import CommandError
from app.cli.output import err

USAGE_EXIT = 2
INTERRUPTED_EXIT = 130

app = cyclopts.App(name="chutes-miner", help="Operate a miner of subnet 64: inventory, deployments, validators, VMs.")
for command in (
    nodes.add_node, nodes.delete_node, nodes.lock, nodes.unlock, nodes.purge_deployments, nodes.purge_deployment,
    nodes.purge_server, inventory.local_inventory, inventory.remote_inventory, inventory.why, remote.scorch_remote,
    remote.delete_remote, remote.instance_logs, kubeconfigs.sync_kubeconfig, kubeconfigs.sync_node_kubeconfig,
):  # fmt: skip
    app.command(command)
app.command(tee.app)
_ = maintenance, vm  # their commands register themselves with `tee`


def run(tokens: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 not understood, 130 interrupted."""
    try:
        app(tokens, exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return USAGE_EXIT
    except CommandError as error:
        if str(error):
            err().print(str(error), highlight=False, markup=False, soft_wrap=True)
        return error.code
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    return 0


def main() -> None:
    """Entry point of the `chutes-miner` script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
