"""The server as it is installed: its commands join those of the client under `clipper`.

In a wheel the packages that run lie in `app`, where the commands look for them, so that none of
their general names is one of site-packages. In a checkout they lie beside this package.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
APP = _PACKAGE / "app" if (_PACKAGE / "app").is_dir() else _PACKAGE.parent
