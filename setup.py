"""Every build starts from nothing, in a folder of its own; all else is in pyproject.toml.

setuptools builds in `build/` and leaves it there. The next build would pack modules that are no longer in the source,
and builds side by side (`sam build --parallel`) would pack each other's half-copied files.
"""

from __future__ import annotations

from tempfile import TemporaryDirectory

from setuptools import setup
from setuptools.command.build import build

_folder = TemporaryDirectory(prefix="pointsman-build-")


class FreshBuild(build):
    def initialize_options(self) -> None:
        super().initialize_options()
        self.build_base = _folder.name


setup(cmdclass={"build": FreshBuild})
