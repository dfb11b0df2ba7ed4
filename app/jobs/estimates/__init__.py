"""Pure estimates: when to poll a job, when it will be sent, and when it will have ended."""
