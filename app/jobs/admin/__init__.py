"""What operators do with jobs: pause, resolve, recover, correct a charge, and read all records of a job."""
