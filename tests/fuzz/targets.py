"""All parsers that are fuzzed, by name."""

from tests.fuzz import addresses, files, records
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target for module in (files, records, addresses) for target in module.TARGETS
}
