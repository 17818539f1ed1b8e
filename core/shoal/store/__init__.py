"""The store: rows of map stages by (fingerprint, id), tables of table stages by (fingerprint, digest of what they saw)."""

from shoal.store.files import Folder
from shoal.store.rows import ERRORS, RowStore
from shoal.store.store import Store
from shoal.store.tables import TableStore

__all__ = ["ERRORS", "Folder", "RowStore", "Store", "TableStore"]
