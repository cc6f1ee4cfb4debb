"""Reads Parquet files, in pure Python: all encodings and nested types of the format, and its common compressions.

The format is described at https://github.com/apache/parquet-format. From the file inwards: `file.py` reads the footer
and the columns, `pages.py` the pages of a column, `encodings.py` and `compression.py` their content, `logical.py` makes
Python values, and `nested.py` lists, structs and maps. `schema.py` and `thrift.py` read the metadata.
"""

from .file import File

__all__ = ["File"]
