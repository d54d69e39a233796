"""What the control worker does: releases, replicas and scaling brought to where they are wanted."""
