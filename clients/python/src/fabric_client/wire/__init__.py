"""The JSON of the REST API as frozen dataclasses, named as in the server's OpenAPI document.

A test compares them with the document that the server serves and fails when they drift apart.
"""
