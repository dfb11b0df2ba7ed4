"""What operators do about jobs: pause, resolve, recover, correct a charge, and read a job's whole story."""
