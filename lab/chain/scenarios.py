"""Ready chains: a small one with one of everything that can go wrong, and one of the main network's size."""

from __future__ import annotations

from functools import partial

from lab.chain.chain import Chain
from lab.chain.subnets import ROOT, Subnet, account

FIRST_BLOCK = 5_000_000


def _registered(netuid: int) -> int:
    return FIRST_BLOCK - 1_000_000 + netuid


def small(chain: Chain) -> Chain:
    """Root and six subnets: busy, filling, quiet, trimmed, over 256 uids, dissolved with its number reused."""
    base = chain.base_block
    chain.add(Subnet(ROOT, _registered(ROOT), max_uids=64), 12)
    chain.add(Subnet(1, _registered(1)))
    chain.add(Subnet(2, _registered(2)), 40)
    chain.add(Subnet(3, _registered(3)))
    chain.add(Subnet(4, _registered(4), max_uids=128), 96)
    chain.add(Subnet(5, _registered(5), max_uids=512), 300)
    chain.add(Subnet(7, _registered(7)), 20)
    chain.churn(1, every=25)
    chain.churn(2, every=400)
    chain.at(base + 1000, partial(chain.swap_hotkey, netuid=3, uid=17))
    again = account("comes back", chain.seed)
    for turn, hotkey in enumerate((None, again, None)):  # one uid replaced three times in a row
        chain.at(base + 2000 + 10 * turn, partial(chain.register, netuid=3, uid=200, hotkey=hotkey))
    chain.at(base + 3000, partial(chain.trim, netuid=4, max_uids=64))
    chain.at(base + 4000, partial(chain.dissolve, netuid=7))
    chain.at(base + 4040, partial(chain.purge, netuid=7))
    chain.at(base + 4100, partial(chain.create, netuid=7, name="second life"))
    chain.churn(7, every=150, first=base + 4101)
    return chain


def full(chain: Chain, subnets: int = 128) -> Chain:
    """The main network's size: root plus so many full subnets, each with its own pace."""
    chain.add(Subnet(ROOT, _registered(ROOT), max_uids=64))
    for netuid in range(1, subnets + 1):
        chain.add(Subnet(netuid, _registered(netuid)))
        chain.churn(netuid, every=60 + 37 * (netuid % 19))
    return chain
