"""What notebooks see: cards for handles, and the extension behind `%load_ext fabric_client`."""
