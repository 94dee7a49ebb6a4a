"""Messages in a data catalog of NautilusTrader v1."""

import pytest
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from nautilus_metal.messages import MESSAGES
from tests.test_messages import EXAMPLES


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_catalog_gives_back_what_it_was_given(kind, tmp_path):
    catalog = ParquetDataCatalog(str(tmp_path))
    messages = [EXAMPLES[kind](ts=1_700_000_000_000_000_000 + day * 86_400_000_000_000) for day in range(5)]
    catalog.write_data(messages)
    back = [data.data for data in catalog.query(kind)]
    assert [message.to_dict() for message in back] == [message.to_dict() for message in messages]
