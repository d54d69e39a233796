"""supervisord, which goes on where its log can't be written; see stack/unfailing_logs.py."""

from stack.unfailing_logs import keep_on_logging
from supervisor import supervisord

if __name__ == "__main__":
    keep_on_logging()
    supervisord.main()
