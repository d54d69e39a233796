"""The registry's cast plays in the console's tests as well."""

from tests.registry.conftest import _own_folder, add_version, digits, svm, v1, v2

__all__ = ["_own_folder", "add_version", "digits", "svm", "v1", "v2"]
