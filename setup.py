"""Contents of the server's wheel; the rest of what describes it is in pyproject.toml."""

from setuptools import find_packages, setup

# The wheel has templates and static files within a package, where the settings look first.
FOLDERS = {f"clipper_site.{name}": name for name in ("templates", "static")}

setup(
    packages=[
        *find_packages(include=[f"{name}*" for name in ("core", "registry", "selection")]),
        *find_packages(include=[f"{name}*" for name in ("serving", "console", "clipper_site")]),
        *FOLDERS,
    ],
    package_dir=FOLDERS,
    package_data={"clipper_site.stack": ["supervisord.conf"]}
    | {name: ["**/*"] for name in FOLDERS},
)
