"""Entry point of the runner, and the only place that patches gevent: before anything else is imported.

usage: python -m infra.hosts [--attached] plan|apply|facts|stop|wipe  < spec.json
"""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402 the patch comes first

from infra.hosts.main import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
