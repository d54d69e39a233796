"""The kinds of rows that the prediction path follows, and the channel that announces changes.

A message on the channel says only that something has changed: its receivers read what is newer
than what they have, and look again now and then because a message may be lost.
"""

CHANGES_CHANNEL = "clipper:changes"

APPLICATION, MODEL, VERSION, KEY = "application", "model", "version", "key"
