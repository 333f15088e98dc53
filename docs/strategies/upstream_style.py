"""Mode 2: the public program's method names, on our base. The dearest server first, and no bounties below one unit."""

from headframe.strategy import ChuteView, ServerView
from headframe.strategy import Gepetto as Base


class Gepetto(Base):
    def optimal_scale_up_server(self, chute: ChuteView, disk_gb: int = 10) -> ServerView | None:
        servers = self.ctx.snapshot.servers
        fits = self.ctx.fleet.open_for(self.ctx.position(chute), disk_gb)
        found = [server for server, is_open in zip(servers, fits, strict=True) if is_open]
        return max(found, key=lambda server: (server.hourly_cost, server.id), default=None)

    async def bounty_changed(self, chute: ChuteView) -> bool:
        return chute.m_eff >= 1.0
