"""Notebook support: cards for handles, and the extension for `%load_ext fabric_client`."""
