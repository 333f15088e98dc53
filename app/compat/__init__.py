"""Import names that operators' `gepetto.py` files expect: `headframe.strategy`, and the public program's modules.

`install()` puts a finder on `sys.meta_path`; nothing is installed under foreign names, so a real package always wins.
"""

from app.compat.names import TABLE, install

__all__ = ["TABLE", "install"]
