"""Mode 1: a small strategy file. Public chutes count a fifth more; everything else is the default's."""

from headframe.strategy import ChuteView, Context, DefaultStrategy, ServerView


class Strategy(DefaultStrategy):
    name = "weighted"

    def score(self, ctx: Context, chute: ChuteView, server: ServerView) -> float | None:
        value = super().score(ctx, chute, server)
        return None if value is None else value * (1.2 if chute.public else 1.0)
