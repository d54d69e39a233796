"""The table of refusals, in the order of its page."""

from tests.clients.refusals.cases import Refusal
from tests.clients.refusals.of_code import OF_CODE, WHEN_LIVE
from tests.clients.refusals.of_environments import OF_ENVIRONMENTS
from tests.clients.refusals.of_files import AT_UPLOAD, OF_FILES, OF_INPUTS

TABLE: tuple[Refusal, ...] = (
    *AT_UPLOAD,
    *OF_FILES,
    *OF_INPUTS,
    *OF_ENVIRONMENTS,
    *OF_CODE,
    *WHEN_LIVE,
)
