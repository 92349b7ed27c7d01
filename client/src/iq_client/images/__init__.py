"""Images before they are sent: found, read, downloaded, encoded."""
