"""What a policy makes of feedback, as it comes and as it is replayed: arithmetic alone."""
