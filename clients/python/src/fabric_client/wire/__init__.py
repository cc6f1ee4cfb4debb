"""The JSON of the REST API as frozen dataclasses, named as in the server's OpenAPI document.

`tests/test_wire.py` compares them with the document that the server serves.
"""
